"""What was selected of each image of a batch, in numbers of patches.

Maps and masks are dictionaries {14: [B, rows, columns], 28: ..., 56: ...}, of B images of one size.
"""

from typing import TypedDict

import torch
from torch import Tensor

from flmm.apt.selection import budget_splits


class SelectionInfo(TypedDict):
    """What was selected of one image.

    Keys:
        tokens_per_scale: {14: n, 28: n, 56: n}, the number of patches of each size.
        num_patches: their sum.
        kept_fraction: ``num_patches`` over the number of patches of the dense grid.
    """

    tokens_per_scale: dict[int, int]
    num_patches: int
    kept_fraction: float


class BudgetInfo(TypedDict):
    """How the budget of one image was spent, in patches; with merge_size 2 a token counts 4 and a split adds 12.

    Keys:
        base_tokens: the fewest patches that cover the image.
        base_small_tokens: the patches of the dense grid.
        budget: ``round(alpha * base_small_tokens)``.
        k: number of splits that the budget allows; 0 where ``base_tokens`` exceeds it.
        actual: patches selected; more than ``budget`` only where ``base_tokens`` is.
    """

    base_tokens: int
    base_small_tokens: int
    budget: int
    k: int
    actual: int


def selection_info(masks: dict[int, Tensor]) -> list[SelectionInfo]:
    """Count the selected patches of each image."""
    dense = masks[min(masks)][0].numel()
    counts = torch.stack([mask.sum((1, 2)) for mask in masks.values()], dim=1).tolist()
    return [
        SelectionInfo(
            tokens_per_scale=dict(zip(masks, of_image, strict=True)),
            num_patches=sum(of_image),
            kept_fraction=sum(of_image) / dense,
        )
        for of_image in counts
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
    fewest, splits = budget_splits(importance_maps, budget, merge_size=merge_size, max_token_size=max_token_size)
    return [
        BudgetInfo(base_tokens=base, base_small_tokens=dense, budget=budget, k=k, actual=of_image['num_patches'])
        for base, k, of_image in zip(fewest.tolist(), splits.tolist(), selected, strict=True)
    ]
