"""An image and a user prompt -> what a Qwen-VL model reads, through the checkpoint's own processor."""

import math
import os
import random
import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import ProcessorMixin
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from flmm.apt.layout import TokenLayout
from flmm.apt.patch_selection import SETTINGS
from flmm.apt.region_layout import region_layout
from flmm.datasets.image_processor import ImageProcessorWrapper, ProcessedImage
from flmm.datasets.qwen_video import process_video, video_turn_ids
from flmm.geometry import frame_meta_data
from flmm.qwen import AdaptiveQwen2VLImageProcessor
from flmm.qwen.layout_patches import patches_of_layout
from flmm.registry import TRANSFORMS
from flmm.structures import ImageView
from flmm.video import Clip


@TRANSFORMS.register_module()
class QwenImageProcessorWrapper(ImageProcessorWrapper):
    """The processor of Qwen2-VL, Qwen2.5-VL, Qwen3-VL or Qwen3.5 for one image and one user turn.

    Image tokens may be pruned by adaptive patches (:class:`flmm.qwen.AdaptiveQwen2VLImageProcessor`); by default they
    are the stock ones.

    Args:
        pretrained_model_name_or_path: ImageProcessorWrapper's, as is ``prompt_template``.
        min_pixels: lower bound of smart_resize in px, of an image or of a frame of a video; None keeps the
            checkpoint's.
        max_pixels: upper bound of smart_resize in px; likewise.
        patch_selection_method: 'none', 'v1', 'v2' or 'budget': see :class:`flmm.apt.PatchSelection`, as for the rest.
        alpha: the share of tokens to keep ('budget'), or a factor of the threshold ('v2'). A pair (low, high) draws it
            evenly for each image anew, from Python's ``random``: training that is to serve many budgets.
        **selection: any other field of :class:`flmm.apt.PatchSelection`, such as ``method``, ``blur`` or
            ``max_token_size``.

    Raises:
        ValueError: a processor that does not resize, bounds of the image size that exclude each other, a setting of
            the patches out of its range, or an unknown one.

    >>> processor = QwenImageProcessorWrapper(
    ...     pretrained_model_name_or_path='assets/demo_lmm', patch_selection_method='budget', alpha=0.3, blur=5
    ... )
    """

    def __init__(
        self,
        *,
        pretrained_model_name_or_path: str | os.PathLike | ProcessorMixin,
        prompt_template: str | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        patch_selection_method: str = 'none',
        alpha: float | Sequence[float] = 1.0,
        **selection: Any,
    ) -> None:
        unknown = [name for name in selection if name not in SETTINGS]
        if unknown:
            raise ValueError(
                f'unknown setting {unknown[0]!r}; expected min_pixels, max_pixels or one of the selection of patches: '
                f'{", ".join(SETTINGS)}'
            )
        super().__init__(pretrained_model_name_or_path=pretrained_model_name_or_path, prompt_template=prompt_template)
        if not self.processor.image_processor.do_resize:
            raise ValueError(
                'the image processor has do_resize=False, so images would be no whole number of units; set it to True'
            )
        bounds = tuple(alpha) if isinstance(alpha, Sequence) else (alpha, alpha)
        if len(bounds) != 2 or not all(isinstance(bound, Real) for bound in bounds) or bounds[0] > bounds[1]:
            raise ValueError(f'alpha is {alpha!r}, expected a number or a pair (low, high) with low <= high')
        self.alpha_range = (float(bounds[0]), float(bounds[1]))
        if patch_selection_method == 'none' and self.alpha_range != (1.0, 1.0):
            warnings.warn(
                f"alpha is {alpha}, but patch_selection_method 'none' does not use it; 'v2' and 'budget' do",
                UserWarning,
                stacklevel=2,
            )
        for bound in sorted(set(self.alpha_range)):  # the constructor names what is out of range
            self.image_processor = AdaptiveQwen2VLImageProcessor.from_dict(
                self.processor.image_processor.to_dict(),
                **SETTINGS | selection | {'patch_selection_method': patch_selection_method, 'alpha': bound},
            )
        # The others don't use it and say so: another alpha for each image would be another warning for each.
        self.draws_alpha = bounds[0] < bounds[1] and patch_selection_method in ('v2', 'budget')
        size = self.image_processor.size
        self.min_pixels, self.max_pixels = min_pixels, max_pixels
        self.size = {
            'shortest_edge': size['shortest_edge'] if min_pixels is None else min_pixels,
            'longest_edge': size['longest_edge'] if max_pixels is None else max_pixels,
        }
        if not 0 < self.size['shortest_edge'] <= self.size['longest_edge']:
            raise ValueError(f'min_pixels and max_pixels give {self.size}; expected 0 < min_pixels <= max_pixels')

    def preprocess_video(self, clip: Clip, *, prompt: str) -> ProcessedImage:
        """Prepare the frames of a video; see :func:`flmm.datasets.qwen_video.process_video`.

        Raises:
            ValueError: frames that the processor refuses, such as those of an aspect ratio over 200; names the video.
        """
        try:
            return process_video(self, clip, prompt=prompt)
        except ValueError as error:
            raise ValueError(f'video {clip.name!r}: {error}') from error

    def video_turn_ids(self, processed: ProcessedImage, *, prompt: str, instead_of: str) -> Tensor:
        """Tokenize a chat about a video; see :func:`flmm.datasets.qwen_video.video_turn_ids`."""
        return video_turn_ids(self, processed, prompt=prompt, instead_of=instead_of)

    def num_image_tokens(self, height: int, width: int) -> int:
        """How many tokens an image of this size in px has, at most."""
        unit = self.image_processor.patch_size * self.image_processor.merge_size
        bounds = {'min_pixels': self.size['shortest_edge'], 'max_pixels': self.size['longest_edge']}
        height, width = smart_resize(height, width, factor=unit, **bounds)
        grid = (height // unit, width // unit)
        if self.image_processor.patch_selection_method != 'budget':
            return grid[0] * grid[1]
        merged = self.image_processor.merge_size**2
        fewest = TokenLayout.fewest_tokens(grid, max_token_size=self.image_processor.max_token_size)
        return max(fewest, round(self.alpha_range[1] * grid[0] * grid[1] * merged) // merged)

    def read_image(
        self, image: Image.Image, *, num_pixels: int | None = None
    ) -> tuple[dict[str, Tensor], int, list[ImageView]]:
        """Resize, normalize and cut into patches; see :class:`flmm.datasets.image_processor.ImageProcessorWrapper`.

        Args:
            image: the image as RGB.
            num_pixels: read it by the whole units next to this area in px, whatever the bounds of the settings.

        Returns:
            ``pixel_values`` ([4 N, 6 * P * P] float32, the 2x2 patches of each token, P the checkpoint's patch size)
            and ``image_grid_thw`` ([1, 3] long, the dense grid), N, and the one view.

        Raises:
            ValueError: an aspect ratio over 200 (smart_resize).
        """
        drawn = {'alpha': random.uniform(*self.alpha_range)} if self.draws_alpha else {}
        resized, size = (image, self.size) if num_pixels is None else self._to_units(image, num_pixels)
        read = self.image_processor(images=resized, size=size, return_tensors='pt', **drawn)
        return self._with_view(image, read['pixel_values'], read['image_grid_thw'], read['image_layout'])

    def read_region(
        self, image: Image.Image, *, box: tuple[int, int, int, int], num_pixels: int, num_tokens: int
    ) -> tuple[dict[str, Tensor], int, list[ImageView]]:
        """Read a region of an image by single units, and the rest by larger tokens the farther they are from it.

        Args:
            image: the image as RGB.
            box: left, top, right and bottom of the region in px of the image.
            num_pixels: the area in px next to which the whole image is read.
            num_tokens: how many tokens to read it by, or as many as the region needs (:func:`flmm.apt.region_layout`).

        Returns:
            What :meth:`read_image` returns.

        Raises:
            ValueError: an aspect ratio over 200 (smart_resize).
        """
        resized, size = self._to_units(image, num_pixels)
        read = self.image_processor(images=resized, size=size, return_tensors='pt', patch_selection_method='none')
        grid = read['image_grid_thw']
        h, w = (grid[0, 1:] // self.image_processor.merge_size).tolist()
        left, top, right, bottom = box
        rows, columns = (
            (math.floor(start * cells / side), math.ceil(stop * cells / side))
            for start, stop, cells, side in ((top, bottom, h, image.height), (left, right, w, image.width))
        )
        layout = region_layout((h, w), rows=rows, columns=columns, num_tokens=num_tokens)
        pixels = patches_of_layout(read['pixel_values'], layout, merge_size=self.image_processor.merge_size)
        return self._with_view(image, pixels, grid, layout.tokens)

    def _to_units(self, image: Image.Image, num_pixels: int) -> tuple[Image.Image, dict[str, int]]:
        """Resize to the nearest whole units, where smart_resize, told the size, would round both sides one way."""
        unit = self.image_processor.patch_size * self.image_processor.merge_size
        factor = math.sqrt(num_pixels / (image.width * image.height)) / unit
        width, height = (max(round(side * factor), 1) * unit for side in image.size)
        return (
            image.resize((width, height), Image.Resampling.BICUBIC),
            {'shortest_edge': width * height, 'longest_edge': width * height},
        )

    def _with_view(
        self, image: Image.Image, pixels: Tensor, grid: Tensor, tokens: Tensor
    ) -> tuple[dict[str, Tensor], int, list[ImageView]]:
        _, rows, columns = grid[0].tolist()
        patch_size, merge_size = self.image_processor.patch_size, self.image_processor.merge_size
        view = ImageView(
            columns=torch.arange(len(tokens)),
            layout=TokenLayout(tokens=tokens, grid_size=(rows // merge_size, columns // merge_size)),
            meta_data=frame_meta_data((image.height, image.width), (rows * patch_size, columns * patch_size)),
        )
        return {'pixel_values': pixels, 'image_grid_thw': grid}, len(tokens), [view]
