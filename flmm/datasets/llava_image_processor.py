"""An image and a user prompt -> what LLaVA-1.5 and LLaVA-NeXT read, through the checkpoint's own processor.

Letters: L the side in px of the square that the vision tower reads (336), g its side in patches (24), T tiles.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import ProcessorMixin
from transformers.image_processing_utils import get_patch_output_size, select_best_resolution
from transformers.image_utils import ChannelDimension
from transformers.models.llava_next.modeling_llava_next import unpad_image

from flmm.apt.layout import TokenLayout
from flmm.datasets.image_processor import ImageProcessorWrapper
from flmm.geometry import frame_meta_data
from flmm.registry import TRANSFORMS
from flmm.structures import ImageView


@TRANSFORMS.register_module()
class LlavaImageProcessorWrapper(ImageProcessorWrapper):
    """A LLaVA-1.5 processor for one image and one user turn: the whole image, padded to a square, as F-LMM does it.

    Args:
        **kwargs: ImageProcessorWrapper's.

    Raises:
        ValueError: the processor's settings don't say how many tokens a square has, or in what colour it is padded,
            or describe none.

    >>> wrapper = LlavaImageProcessorWrapper(pretrained_model_name_or_path='llava-hf/llava-1.5-7b-hf')
    >>> wrapper.num_image_tokens(480, 640)
    576
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        images = self.processor.image_processor
        self.side = _square_side(images.crop_size if images.do_center_crop else images.size)
        if not isinstance(images.image_mean, Sequence):
            raise ValueError(
                f'the image processor has image_mean {images.image_mean!r}; images are padded in that colour, give '
                'three numbers'
            )
        self.patch_size, self.num_leading = _tokens_of_a_square(self.processor)
        if self.num_leading < 0:
            raise ValueError(f'{_strategy(self.processor)}: the first patch of the image would be dropped')
        self.grid_side = self.side // self.patch_size

    def num_image_tokens(self, height: int, width: int) -> int:
        """How many tokens an image has: the same for every size."""
        return self.num_leading + self.grid_side**2

    def read_image(self, image: Image.Image) -> tuple[dict[str, Tensor], int, list[ImageView]]:
        """Resize the longer side to L, pad to a square, normalize; see ImageProcessorWrapper.

        Returns:
            ``pixel_values`` ([1, 3, L, L] float32), the number of placeholders (a class token, where the LMM keeps
            it, and g x g), and the one view.
        """
        images = self.processor.image_processor
        longest = max(image.size)
        # F-LMM resizes, truncating the shorter side, and then pads. transformers' own padding (do_pad of
        # LlavaImageProcessor) pads first, which mixes the border of the image with the padding.
        width, height = (max(side * self.side // longest, 1) for side in image.size)
        left, top = (self.side - width) // 2, (self.side - height) // 2
        square = Image.new('RGB', (self.side, self.side), tuple(int(mean * 255) for mean in images.image_mean))
        square.paste(image.resize((width, height), images.resample), (left, top))
        # The published settings resize the shorter side to L and crop the centre, which loses the image's border.
        read = images(images=square, do_resize=False, do_center_crop=False, return_tensors='pt')
        # Patches that don't divide L leave the last px of the square unread (SigLIP: 384 px are 27 patches and 6 px).
        unread = self.side % self.patch_size
        padding = (top, self.side - height - top - unread, left, self.side - width - left - unread)
        view = ImageView(
            columns=self.num_leading + torch.arange(self.grid_side**2),
            layout=TokenLayout.dense((self.grid_side, self.grid_side)),
            meta_data=frame_meta_data((image.height, image.width), (height, width), padding),
        )
        return {'pixel_values': read['pixel_values']}, self.num_image_tokens(image.height, image.width), [view]


@TRANSFORMS.register_module()
class LlavaNextImageProcessorWrapper(ImageProcessorWrapper):
    """A LLaVA-NeXT (LLaVA-1.6) processor for one image and one user turn.

    Two views: the whole image, squashed to a square; then the image as tiles, one grid over all of them. Of that grid
    the LMM removes the padding, in whole cells, and puts a token at the end of each row that belongs to no view. An
    image so thin that none of the grid is left has the first view only.

    Args:
        **kwargs: ImageProcessorWrapper's.

    Raises:
        ValueError: the processor's settings don't say how many tokens a tile has, or tiles don't fit the resolutions.

    >>> wrapper = LlavaNextImageProcessorWrapper(pretrained_model_name_or_path='llava-hf/llava-v1.6-vicuna-7b-hf')
    >>> wrapper.num_image_tokens(480, 640)  # 24 * 24, then 36 rows of 48 and a token at the end of each
    2340
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        images = self.processor.image_processor
        self.side = _square_side(images.crop_size)
        if _square_side(images.size) != self.side:
            raise ValueError(
                f'the image processor has size {dict(images.size)} and crop_size {dict(images.crop_size)}; tiles would '
                'be cropped, give both the same side'
            )
        self.patch_size, num_leading = _tokens_of_a_square(self.processor)
        if num_leading:
            raise ValueError(
                f'{_strategy(self.processor)}: tiles would not be grids of patches; expected that every token but '
                "those of patches is removed ('default' and 1, or 'full' and 0)"
            )
        if self.side % self.patch_size:
            raise ValueError(
                f'tiles of {self.side} px are no whole number of patches of {self.patch_size} px, so that their cells '
                'are no even grid; such a LLaVA-NeXT is not supported'
            )
        self.resolutions = images.image_grid_pinpoints or []
        bad = [size for size in self.resolutions if any(side < 1 or side % self.side for side in size)]
        if bad or not self.resolutions:
            raise ValueError(
                f'image_grid_pinpoints has {bad or "no resolution"}; expected (height, width) that are multiples of '
                f'the {self.side} px of a tile'
            )
        self.grid_side = self.side // self.patch_size

    def num_image_tokens(self, height: int, width: int) -> int:
        """How many tokens an image of this size in px has: of both views, and one for each row of the second."""
        _, kept = self._tiles(height, width)
        rows, columns = kept.shape
        return self.grid_side**2 + rows * (columns + 1)

    def read_image(self, image: Image.Image) -> tuple[dict[str, Tensor], int, list[ImageView]]:
        """Resize, cut into tiles, normalize; see :class:`flmm.datasets.image_processor.ImageProcessorWrapper`.

        Returns:
            ``pixel_values`` ([1, 1 + T, 3, L, L] float32, the squashed image before the tiles) and ``image_sizes``
            ([1, 2] long, height and width of the image), the number of placeholders, and the views.
        """
        size = (image.height, image.width)
        read = self.processor.image_processor(images=image, return_tensors='pt')
        base = ImageView(
            columns=torch.arange(self.grid_side**2),
            layout=TokenLayout.dense((self.grid_side, self.grid_side)),
            meta_data=frame_meta_data(size, (self.side, self.side)),
        )
        canvas, kept = self._tiles(*size)
        views = [base]
        if kept.numel():
            rows, columns = kept.shape
            places = torch.arange(rows * (columns + 1)).view(rows, columns + 1)[:, :-1]  # rows end in a token
            views.append(
                ImageView(
                    columns=self.grid_side**2 + places.flatten(),
                    layout=TokenLayout.dense((rows, columns)),
                    meta_data=frame_meta_data(size, *self._fine_frame(size, canvas, kept)),
                )
            )
        inputs = {name: read[name] for name in ('pixel_values', 'image_sizes')}
        return inputs, self.num_image_tokens(*size), views

    def _tiles(self, height: int, width: int) -> tuple[Sequence[int], Tensor]:
        """(height, width) in px of all tiles together, and which of its cells the LMM keeps: [rows, columns]."""
        canvas = select_best_resolution((height, width), self.resolutions)
        rows, columns = (side // self.patch_size for side in canvas)
        cells = torch.arange(rows * columns).view(1, rows, columns)
        return canvas, unpad_image(cells, (height, width))[0]

    def _fine_frame(self, size: Sequence[int], canvas: Sequence[int], kept: Tensor) -> tuple[Sequence[int], list[int]]:
        """Size of the image in the tiles, and its padding in the cells that are kept.

        Padding is removed in whole cells, as many on either side. Up to half a cell of it may stay, or up to half a
        cell of the image be cut off, in which case it is negative here.
        """
        shape_alone = np.empty((*size, 0))
        content = get_patch_output_size(shape_alone, canvas, ChannelDimension.LAST)
        removed = divmod(int(kept[0, 0]), canvas[1] // self.patch_size)
        padding = []
        for side, inside, cells in zip(canvas, content, removed, strict=True):
            before = (side - inside) // 2
            padding += [before - cells * self.patch_size, side - inside - before - cells * self.patch_size]
        return content, padding


def _square_side(size: Any) -> int:
    """Read L from ``size`` or ``crop_size`` of an image processor."""
    sides = set(dict(size or {}).values())
    if len(sides) != 1:
        raise ValueError(f'the image processor makes images of {dict(size or {})} px; expected one side of a square')
    return sides.pop()


def _tokens_of_a_square(processor: ProcessorMixin) -> tuple[int, int]:
    """Return the side of a patch in px, and how many tokens come before those of the patches; -1: a patch is lost."""
    if not processor.patch_size:
        raise ValueError(f"the processor has patch_size {processor.patch_size}; give the vision tower's, such as 14")
    dropped = int(processor.vision_feature_select_strategy == 'default')
    return processor.patch_size, processor.num_additional_image_tokens - dropped


def _strategy(processor: ProcessorMixin) -> str:
    return (
        f'the processor has vision_feature_select_strategy {processor.vision_feature_select_strategy!r} and '
        f'num_additional_image_tokens {processor.num_additional_image_tokens}'
    )
