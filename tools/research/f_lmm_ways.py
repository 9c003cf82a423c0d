"""F-LMM's ways of doing what this package does otherwise, to be put in its place."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm.datasets import RefCOCO2PNG
from flmm.geometry import masks_to_boxes, resize_logits, sam_content_size
from flmm.models import FrozenLMM, UNetHead, frozen_lmm
from flmm.models.mask_head import mask_refiner
from flmm.structures import GroundingSample


def patched(target: object, name: str, make: Callable[..., Any]) -> Callable[[], AbstractContextManager]:
    """Replace ``target.name`` by ``make`` of what stands there."""
    return partial(mock.patch.object, target, name, make(getattr(target, name)))


def nearest_coverage(_: Callable) -> Callable:
    return lambda masks, size: F.interpolate(masks[None].float(), size=tuple(size))[0]


def losses_on_resized_truth(losses: Callable) -> Callable:
    def changed(self: FrozenLMM, grounded: list[GroundingSample], coarse: list[Tensor]) -> dict[str, Tensor]:
        resized = [
            replace(sample, gt_masks=F.interpolate(sample.masks[None].float(), size=sample.gt_masks.shape[-2:])[0] > 0)
            for sample in grounded
        ]
        return losses(self, resized, coarse)

    return changed


def with_last_separator(sample: Callable) -> Callable:
    def changed(self: RefCOCO2PNG, *args: Any) -> GroundingSample:
        made, dot = sample(self, *args), torch.tensor(self.separator_ids)
        return replace(
            made,
            input_ids=torch.cat([made.input_ids, dot]),
            mask_ids=torch.cat([made.mask_ids, torch.full_like(dot, -1)]),
        )

    return changed


def boxes_one_past(_: Callable) -> Callable:
    return lambda masks: masks_to_boxes(masks) + torch.tensor([0.0, 0.0, 1.0, 1.0], device=masks.device)


def padded_with_lowest_of_all(_: Callable) -> Callable:
    def changed(logits: Tensor, sam_size: int, grid_size: tuple[int, int]) -> Tensor:
        height, width = sam_content_size(logits.shape[-2:], sam_size)
        square = logits.new_full((len(logits), sam_size, sam_size), min(-1.0, logits.min().item()))
        square[:, :height, :width] = resize_logits(logits, (height, width))
        return resize_logits(square, grid_size)

    return changed


def starting_near_zero(init_weights: Callable) -> Callable:
    def changed(self: UNetHead) -> None:
        init_weights(self)
        torch.nn.init.normal_(self.conv_seg.weight, std=0.01)

    return changed


PATCHES = {
    'near_zero': patched(UNetHead, 'init_weights', starting_near_zero),
    'coarse_nearest': patched(frozen_lmm, 'area_coverage', nearest_coverage),
    'refined_resized': patched(FrozenLMM, '_losses', losses_on_resized_truth),
    'box_one_past': patched(mask_refiner, 'masks_to_boxes', boxes_one_past),
    'padding': patched(mask_refiner, 'logits_to_sam', padded_with_lowest_of_all),
    'last_dot': patched(RefCOCO2PNG, '_sample', with_last_separator),
}
"""Name of a variant of f_lmm_variants.py -> makes what puts F-LMM's way in place of this package's."""
