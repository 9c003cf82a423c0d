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
from flmm.datasets.text_tokenizer import Piece
from flmm.geometry import masks_to_boxes, resize_logits
from flmm.models import FrozenLMM, UNetHead, losses
from flmm.models.mask_head import mask_refiner
from flmm.models.sam import SamFrame
from flmm.structures import GroundingSample


def patched(target: object, name: str, make: Callable[..., Any]) -> Callable[[], AbstractContextManager]:
    """Replace ``target.name`` by ``make`` of what stands there."""
    return partial(mock.patch.object, target, name, make(getattr(target, name)))


def nearest_coverage(_: Callable) -> Callable:
    return lambda masks, size: F.interpolate(masks[None].float(), size=tuple(size))[0]


def losses_on_resized_truth(model_losses: Callable) -> Callable:
    def changed(self: FrozenLMM, grounded: list[GroundingSample]) -> dict[str, Tensor]:
        resized = [
            replace(sample, gt_masks=F.interpolate(sample.masks[None].float(), size=sample.gt_masks.shape[-2:])[0] > 0)
            for sample in grounded
        ]
        return model_losses(self, resized)

    return changed


def in_one_text(sample: Callable) -> Callable:
    def changed(
        self: RefCOCO2PNG, results: dict, processed: Any, group: list[int], pieces: list[Piece], masks: Any, **_: bool
    ) -> GroundingSample:
        dot = (self.text_tokenizer.separator_ids, -1)
        pieces = [piece for phrase in pieces for piece in (phrase, dot)]
        return sample(self, results, processed, group, pieces, masks, independent=False)

    return changed


def boxes_one_past(_: Callable) -> Callable:
    return lambda masks: masks_to_boxes(masks) + torch.tensor([0.0, 0.0, 1.0, 1.0], device=masks.device)


def padded_with_lowest_of_all(_: Callable) -> Callable:
    def changed(self: SamFrame, logits: Tensor, grid_size: tuple[int, int]) -> Tensor:
        height, width = self.content_size(logits.shape[-2:])
        square = logits.new_full((len(logits), self.side, self.side), min(-1.0, logits.min().item()))
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
    'coarse_nearest': patched(losses, 'area_coverage', nearest_coverage),
    'refined_resized': patched(FrozenLMM, '_losses', losses_on_resized_truth),
    'box_one_past': patched(mask_refiner, 'masks_to_boxes', boxes_one_past),
    'padding': patched(SamFrame, 'logits_from_image', padded_with_lowest_of_all),
    'one_text': patched(RefCOCO2PNG, '_sample', in_one_text),
}
"""Name of a variant of f_lmm_variants.py -> makes what puts F-LMM's way in place of this package's."""
