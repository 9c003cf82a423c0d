"""Qwen2-VL's image processor with adaptive patches: smooth regions are read by fewer, larger tokens.

Letters: T_i image tokens of image i, P patch_size in px, m merge_size (m x m patches make one token), t
temporal_patch_size.
"""

import functools
import os
import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any, TypedDict

import torch
from torch import Tensor
from transformers import BatchFeature, Qwen2VLImageProcessor
from transformers.image_transforms import group_images_by_shape, reorder_images
from transformers.image_utils import SizeDict
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessorKwargs, smart_resize

from flmm.apt.layout import TokenLayout
from flmm.apt.patch_selection import SETTINGS, PatchSelection
from flmm.apt.patch_tokenizer import PatchTokenizer
from flmm.qwen.stock_interface import refuse_remote_code

RANGE_TOLERANCE = 1e-4
"""By how much float images may leave 0..1, as rounding makes them."""


# Any: PatchSelection checks its fields and says what is allowed; transformers' check by type would come first.
AdaptiveQwen2VLImageProcessorKwargs = TypedDict(
    'AdaptiveQwen2VLImageProcessorKwargs',
    Qwen2VLImageProcessorKwargs.__annotations__ | dict.fromkeys(SETTINGS, Any),
    total=False,
)


class AdaptiveQwen2VLImageProcessor(Qwen2VLImageProcessor):
    """Resizes and normalizes as the stock class does, and reads smooth squares of the resized image by one token each.

    A call returns the stock ``pixel_values`` ([sum of T_i * m * m, 3 * t * P * P], a token's m x m patches after each
    other) and ``image_grid_thw`` (the dense grid), and in addition, for the adaptive models:

    - ``image_layout``: [sum of T_i, 3] long, top, left and size in units of every token, image after image.
    - ``image_num_tokens``: [images] long, T_i.

    The default, 'v1' by entropy with thresholds of 3 and 2 bits, keeps nearly every token of a photograph. The first
    image that is read so in a process brings a warning, unless ``thresholds`` says that it is meant.

    Args:
        **kwargs: settings of the stock class, and any field of :class:`flmm.apt.PatchSelection`. Each of these can be
            given to the constructor, set as an attribute, or given to a call; the call wins. They are saved with the
            processor. ``patch_selection_method='none'`` gives the stock output and its dense layout; ``alpha`` may be
            set beside it, for other calls.

    Raises:
        ValueError: a setting out of its range; in a call also float images outside of 0 (black) to 1 (white), which
            is 0 to 1 / ``rescale_factor``, that is 255, while ``do_rescale`` is on; integers outside of 0 to 255; or,
            with ``do_resize`` off, sides that are no multiples of P * m px.

    >>> processor = AdaptiveQwen2VLImageProcessor(patch_selection_method='budget', alpha=0.3)
    """

    valid_kwargs = AdaptiveQwen2VLImageProcessorKwargs
    model_input_names = [*Qwen2VLImageProcessor.model_input_names, 'image_layout', 'image_num_tokens']  # noqa: RUF012

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        selection = self._selection({})
        if selection.patch_selection_method != 'none':
            PatchTokenizer(selection=selection, patch_size=self.patch_size, merge_size=self.merge_size)  # checks sizes
        # Plain numbers, and a list as it comes back from JSON. With 'none', alpha is not the selection's.
        self.alpha, self.max_token_size = float(self.alpha), selection.max_token_size
        if selection.thresholds is not None:
            self.thresholds = list(selection.thresholds)

    @classmethod
    @functools.wraps(Qwen2VLImageProcessor.from_pretrained.__func__, assigned=())  # the signature
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, *args: object, **kwargs: object
    ) -> 'AdaptiveQwen2VLImageProcessor':
        """Load a stock or an adaptive image processor; arguments as in the stock class, and any of the settings.

        Raises:
            ValueError: a setting out of its range; ``trust_remote_code`` is set.
        """
        refuse_remote_code(kwargs)
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def _selection(self, given: dict[str, Any]) -> PatchSelection:
        """The selection that a call with the settings ``given`` asks for."""
        settings = {name: given.get(name, getattr(self, name)) for name in SETTINGS}
        dense = isinstance(settings['patch_selection_method'], str) and settings['patch_selection_method'] == 'none'
        if dense and isinstance(settings['alpha'], Real):
            settings['alpha'] = 1.0  # it waits for other calls: no warning that it is not used
        return PatchSelection(**settings)

    def _preprocess(
        self,
        images: list[Tensor],
        *,
        patch_size: int,
        merge_size: int,
        return_tensors: str | None,
        **kwargs: object,
    ) -> BatchFeature:
        sizes = {'patch_size': patch_size, 'merge_size': merge_size}
        selection = self._selection({name: kwargs.pop(name) for name in SETTINGS})
        if selection.thresholds is None and (selection.patch_selection_method, selection.method) == ('v1', 'entropy'):
            _warn_that_v1_keeps_photographs()
        if selection.patch_selection_method == 'none':
            data = super()._preprocess(images, return_tensors=None, **sizes, **kwargs)
            grids = (data['image_grid_thw'][:, 1:] // merge_size).tolist()
            layouts = [TokenLayout.dense((h, w), device=data['pixel_values'].device) for h, w in grids]
        else:
            tokenizer = PatchTokenizer(selection=selection, **sizes)
            data, layouts = self._adaptive_patches(images, tokenizer, **sizes, **kwargs)
        data = {
            **data,
            'image_layout': torch.cat([layout.tokens for layout in layouts]),
            'image_num_tokens': torch.tensor([len(layout) for layout in layouts]),
        }
        return BatchFeature(data=data, tensor_type=return_tensors)

    def _adaptive_patches(
        self,
        images: list[Tensor],
        tokenizer: PatchTokenizer,
        *,
        do_resize: bool,
        size: SizeDict,
        resample: int | None,
        do_rescale: bool,
        rescale_factor: float,
        do_normalize: bool,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        patch_size: int,
        temporal_patch_size: int,
        merge_size: int,
        disable_grouping: bool | None,
        **_: object,
    ) -> tuple[dict[str, Tensor], list[TokenLayout]]:
        white = 1 / rescale_factor if do_rescale else 1.0
        unit = patch_size * merge_size
        by_shape, places = group_images_by_shape(images, disable_grouping=disable_grouping)
        for key, batch in by_shape.items():
            _check_range(batch, white if batch.is_floating_point() else 255)
            if do_resize:
                by_shape[key] = self.resize(batch, size=size, resample=resample, factor=unit)
            elif batch.shape[-2] % unit or batch.shape[-1] % unit:
                raise ValueError(
                    f'an image is {tuple(batch.shape[-2:])} px (height, width) and do_resize is off; both must be '
                    f'multiples of {unit} px'
                )
        images = reorder_images(by_shape, places)
        # Once more: images of different sizes are of one size now.
        by_shape, places = group_images_by_shape(images, disable_grouping=disable_grouping)
        patches, layouts = {}, {}
        for key, batch in by_shape.items():
            pixels = self.rescale_and_normalize(batch, do_rescale, rescale_factor, do_normalize, image_mean, image_std)
            scale = 255 / white if batch.is_floating_point() else 1
            # Interpolation may overshoot the range of anything but bytes.
            brightness = batch if batch.dtype == torch.uint8 else (batch.float() * scale).clamp(0, 255)
            patches[key], layouts[key] = tokenizer(brightness, pixels=pixels)
        pixel_values = torch.cat(reorder_images(patches, places))
        # A still image is a video of equal frames.
        pixel_values = pixel_values.unsqueeze(2).expand(-1, -1, temporal_patch_size, -1, -1)  # [patches, 3, t, P, P]
        pixel_values = pixel_values.flatten(1)  # [patches, 3 * t * P * P]
        grids = torch.tensor([[1, image.shape[-2] // patch_size, image.shape[-1] // patch_size] for image in images])
        return {'pixel_values': pixel_values, 'image_grid_thw': grids}, reorder_images(layouts, places)

    def get_number_of_image_patches(self, height: int, width: int, images_kwargs: dict | None = None) -> int:
        """The number of patches that an image is read by, where it follows from the image's size.

        It does for 'none' and 'budget', and where no token can be coarse: ``max_token_size`` 1, an image of one row or
        column of tokens, 'v2' with an ``alpha`` of 0.

        Args:
            height: px.
            width: px.
            images_kwargs: settings that override those of the processor.

        Raises:
            ValueError: the number depends on what the image shows ('v1' and 'v2'); a setting out of its range.
        """
        given = dict(images_kwargs or {})
        # The stock method knows the bounds of the image's size by their old names alone, a call by ``size``.
        for bound, edge in (('min_pixels', 'shortest_edge'), ('max_pixels', 'longest_edge')):
            if given.get(bound) is None:
                given[bound] = (given.get('size') or self.size)[edge]
        patch_size, merge_size = (given.get(name, getattr(self, name)) for name in ('patch_size', 'merge_size'))
        selection = self._selection(given)
        if selection.patch_selection_method == 'none':
            return super().get_number_of_image_patches(height, width, given)
        tokenizer = PatchTokenizer(selection=selection, patch_size=patch_size, merge_size=merge_size)
        unit = patch_size * merge_size
        resized_height, resized_width = smart_resize(
            height,
            width,
            factor=unit,
            min_pixels=given['min_pixels'],
            max_pixels=given['max_pixels'],
        )
        number = tokenizer.num_patches((resized_height // patch_size, resized_width // patch_size))
        if number is None:
            raise ValueError(
                f'patch_selection_method is {selection.patch_selection_method!r}: the number of patches depends on the '
                "image, not on its size; process the image, or use patch_selection_method='budget' or 'none'"
            )
        return number


# transformers looks for the defaults of settings among the attributes of the class.
for _name, _default in SETTINGS.items():
    setattr(AdaptiveQwen2VLImageProcessor, _name, _default)


@functools.cache  # once in a process, whatever the filters of warnings say
def _warn_that_v1_keeps_photographs() -> None:
    warnings.warn(
        "patch_selection_method 'v1' with its default thresholds keeps 98 to 100 % of the tokens of a photograph. To "
        "prune, name a budget: patch_selection_method='budget', alpha=0.3 keeps 30 %. To keep 'v1' without this "
        'warning, name thresholds=(3.0, 2.0)',
        UserWarning,
        stacklevel=2,
    )


def _check_range(images: Tensor, white: float) -> None:
    if images.dtype == torch.uint8:
        return
    low, high = images.aminmax()
    if not (low >= -RANGE_TOLERANCE * white and high <= (1 + RANGE_TOLERANCE) * white):
        raise ValueError(
            f'{images.dtype} images hold values from {float(low):g} to {float(high):g}, expected 0 (black) to '
            f'{white:g} (white) under the given do_rescale and rescale_factor: the importance of patches needs their '
            "brightness. Pass images before normalization, or patch_selection_method='none'"
        )
