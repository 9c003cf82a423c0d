"""An image and a user prompt -> what DeepSeek-VL reads, through the checkpoint's own processor."""

import math
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from flmm.apt.layout import TokenLayout
from flmm.datasets.image_processor import ImageProcessorWrapper
from flmm.geometry import FrameMetaData, frame_meta_data
from flmm.registry import TRANSFORMS
from flmm.structures import ImageView


@TRANSFORMS.register_module()
class DeepseekVLImageProcessorWrapper(ImageProcessorWrapper):
    """A DeepSeek-VL processor, with one vision tower (1.3B) or two (7B), for one image and one user turn.

    Every image has the same number of tokens, as a square grid over a square frame: the image's longer side is resized
    to the frame's, and the shorter one is padded on both sides in the mean colour.

    Args:
        **kwargs: ImageProcessorWrapper's.

    Raises:
        ValueError: a processor of another family, one whose tokens form no square, or one that does not resize or pad.

    >>> processor = DeepseekVLImageProcessorWrapper(
    ...     pretrained_model_name_or_path='deepseek-community/deepseek-vl-1.3b-chat',
    ...     prompt_template='User: <image>{prompt}\\n\\nAssistant:',
    ... )
    >>> processor.preprocess(Image.open('photo.jpg'), prompt='Where is it?').views[0].layout.grid_size
    (24, 24)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image_processor = self.processor.image_processor
        tokens = self.processor.num_image_tokens
        self.grid_side = math.isqrt(tokens)
        if self.grid_side**2 != tokens:
            raise ValueError(f'the processor has num_image_tokens={tokens}, expected a square number such as 576')
        for name in ('do_resize', 'do_pad'):
            if not getattr(self.image_processor, name):
                raise ValueError(f'the image processor has {name}=False, so images would be no squares; set it to True')

    def num_image_tokens(self, height: int, width: int) -> int:
        """How many tokens an image of this size in px has: the same for every size."""
        return self.processor.num_image_tokens

    def read_image(self, image: Image.Image) -> tuple[dict[str, Tensor], int, list[ImageView]]:
        """Resize, pad and normalize; see :class:`flmm.datasets.image_processor.ImageProcessorWrapper`.

        Returns:
            ``pixel_values`` ([1, 3, 384, 384] float32) and, of a processor for two towers, ``high_res_pixel_values``
            ([1, 3, 1024, 1024] float32), the number of tokens, and the one view.
        """
        read = self.image_processor(images=image, return_tensors='pt')
        layout = TokenLayout.dense((self.grid_side, self.grid_side))
        view = ImageView(
            columns=torch.arange(len(layout)), layout=layout, meta_data=self._meta_data(image.height, image.width)
        )
        return dict(read), len(layout), [view]

    def _meta_data(self, height: int, width: int) -> FrameMetaData:
        """Say where the image lies in the frame, rounded as the image processors of transformers round."""
        # With two towers, the padded square of the fine one is resized to that of the coarse one. So both show the same
        # frame, and only in the px of the fine one does the image begin and end at whole px.
        square = getattr(self.image_processor, 'high_res_size', None) or self.image_processor.size
        side = square['height']
        scale = side / max(height, width)
        content = [max(round(length * scale), self.image_processor.min_size) for length in (height, width)]
        before = [(side - length) // 2 for length in content]
        after = [side - length - start for length, start in zip(content, before, strict=True)]
        return frame_meta_data((height, width), content, (before[0], after[0], before[1], after[1]))
