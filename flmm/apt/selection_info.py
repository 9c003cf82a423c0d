"""What was selected of each image of a batch, in numbers of patches.

Maps and masks are dictionaries {P: [B, rows, columns], 2 P: ..., 4 P: ...}, of B images of one size and a patch size P.
"""

from typing import TypedDict

import torch
from torch import Tensor

from flmm.apt.selection import budget_splits


class SelectionInfo(TypedDict):
    """What was selected of one image.

    Keys:
        patches_per_size: {P: n, 2 P: n, 4 P: n}, the number of patches of each size in px.
        num_patches: their sum.
        kept_fraction: ``num_patches`` over the number of patches of the dense grid.
    """

    patches_per_size: dict[int, int]
    num_patches: int
    kept_fraction: float


class BudgetInfo(TypedDict):
    """How the budget of one image was spent, in patches; with merge_size 2 a token counts 4 and a split adds 12.

    Keys:
        fewest_patches: the fewest patches that cover the image.
        dense_patches: the patches of the dense grid.
        budget: ``round(alpha * dense_patches)``.
        num_splits: how many splits the budget allows; 0 where ``fewest_patches`` exceeds it.
        num_patches: patches selected; more than ``budget`` only where ``fewest_patches`` is.
    """

    fewest_patches: int
    dense_patches: int
    budget: int
    num_splits: int
    num_patches: int


def selection_info(masks: dict[int, Tensor]) -> list[SelectionInfo]:
    """Count the selected patches of each image."""
    dense = masks[min(masks)][0].numel()
    counts = torch.stack([mask.sum((1, 2)) for mask in masks.values()], dim=1).tolist()
    return [
        SelectionInfo(
            patches_per_size=dict(zip(masks, count, strict=True)),
            num_patches=sum(count),
            kept_fraction=sum(count) / dense,
        )
        for count in counts
    ]


def budget_info(
    importance_maps: dict[int, Tensor],
    selected: list[SelectionInfo],
    *,
    budget: int,
    merge_size: int,
    max_token_size: int,
) -> list[BudgetInfo]:
    """Say how ``budget`` patches for each image became what is ``selected``."""
    dense = importance_maps[min(importance_maps)][0].numel()
    fewest, num_splits = budget_splits(importance_maps, budget, merge_size=merge_size, max_token_size=max_token_size)
    return [
        BudgetInfo(
            fewest_patches=patches,
            dense_patches=dense,
            budget=budget,
            num_splits=splits,
            num_patches=image['num_patches'],
        )
        for patches, splits, image in zip(fewest.tolist(), num_splits.tolist(), selected, strict=True)
    ]
