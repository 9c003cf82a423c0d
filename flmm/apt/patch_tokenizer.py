"""Adaptive patch tokenization: images -> patches of P, 2 P and 4 P px, each brought down to P x P, and their layout.

Letters: B images of one size, (H, W) that size in px, P the patch size that the model reads in px, S one of P, 2 P and
4 P, T tokens of an image, m merge_size (m x m patches of one size make one token). Maps and masks are dictionaries
{P: [B, rows, columns], 2 P: ..., 4 P: ...} on ceil-sized grids.

Source: Choudhury et al., "Accelerating Vision Transformers with Adaptive Patch Sizes", ICLR 2026.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm.apt.importance import check_patch_size, compute_importance_maps
from flmm.apt.layout import SIZES, TokenLayout
from flmm.apt.patch_selection import PatchSelection
from flmm.apt.selection import (
    budget_splits,
    select_patches_by_budget,
    select_patches_by_threshold,
    select_patches_by_threshold_v2,
)
from flmm.apt.selection_info import BudgetInfo, SelectionInfo, budget_info, selection_info


class PatchTokenizer:
    """Read smooth parts of images with fewer patches.

    Args:
        selection: which patches are read coarsely.
        patch_size: P, the side in px of the patches that the model reads, at least 2.
        merge_size: m, 1 or 2.

    Attributes:
        last_selection_info: one :class:`SelectionInfo` for each image of the last :meth:`construct_masks`.
        last_budget_info: one :class:`BudgetInfo` for each image, or None where the method is not 'budget'.

    Raises:
        ValueError: a size outside of what is allowed.

    >>> tokenizer = PatchTokenizer(selection=PatchSelection(patch_selection_method='budget', alpha=0.3), merge_size=2)
    """

    def __init__(self, *, selection: PatchSelection, patch_size: int = 14, merge_size: int = 1) -> None:
        check_patch_size(patch_size)
        if merge_size not in (1, 2):
            raise ValueError(f'merge_size is {merge_size!r}, expected 1 or 2')
        self.selection = selection
        self.patch_size = patch_size
        self.merge_size = merge_size
        self.last_selection_info: list[SelectionInfo] | None = None
        self.last_budget_info: list[BudgetInfo] | None = None

    def __call__(self, images: Tensor, *, pixels: Tensor | None = None) -> tuple[list[Tensor], list[TokenLayout]]:
        """Cut images into patches.

        Args:
            images: [B, 3, H, W] RGB, uint8 or floating point, 0..255; the selection is made on them.
            pixels: [B, 3, H, W], what the patches are taken from, such as the images normalised; None takes ``images``.

        Returns:
            For each image its patches, [T * m * m, 3, P, P] floating point, token by token in the order of its
            layout, the m x m patches of a token row by row; and its layout.

        Raises:
            ValueError: images smaller than one patch, of another shape or range, or that ``merge_size`` does not
                divide; ``pixels`` of another size.
        """
        masks = self.construct_masks(self.compute_importance_maps(images))
        return self.take_patches(images if pixels is None else pixels, masks)

    def take_patches(self, pixels: Tensor, masks: dict[int, Tensor]) -> tuple[list[Tensor], list[TokenLayout]]:
        """Cut the selected patches out of ``pixels``, [B, 3, H, W]; returns what a call returns."""
        groups = self.construct_patch_groups(pixels, masks)
        layouts = TokenLayout.from_masks(masks, merge_size=self.merge_size)
        patches = torch.cat(list(groups.values()))[self._layout_order(masks)]
        return list(patches.split([len(layout) * self.merge_size**2 for layout in layouts])), layouts

    def compute_importance_maps(self, images: Tensor) -> dict[int, Tensor]:
        """Measure the patches of images [B, 3, H, W], 0..255: see :func:`compute_importance_maps`.

        Raises:
            ValueError: images smaller than one patch, or of another shape, type or range.
        """
        if min(images.shape[-2:]) < self.patch_size:
            raise ValueError(
                f'images of (height, width) {tuple(images.shape[-2:])} are smaller than one patch; '
                f'resize them to at least {self.patch_size} px'
            )
        return compute_importance_maps(
            images,
            patch_size=self.patch_size,
            method=self.selection.method,
            laplacian_aggregate=self.selection.laplacian_aggregate,
            blur=self.selection.blur,
        )

    def construct_masks(self, importance_maps: dict[int, Tensor]) -> dict[int, Tensor]:
        """Select patches; fills in ``last_selection_info`` and ``last_budget_info``.

        Args:
            importance_maps: {P: [B, rows, columns], 2 P: ..., 4 P: ...}.

        Returns:
            {P: [B, rows, columns], 2 P: ..., 4 P: ...} bool, disjoint, covering each P px patch once.

        Raises:
            ValueError: maps that don't fit together, or a grid that ``merge_size`` does not divide.
        """
        method = self.selection.patch_selection_method
        sizes = {'merge_size': self.merge_size, 'max_token_size': self.selection.max_token_size}
        if method == 'v2':
            masks = select_patches_by_threshold_v2(importance_maps, self.selection.alpha, **sizes)
        elif method == 'budget':
            budget = self._budget(importance_maps)
            masks = select_patches_by_budget(importance_maps, budget, **sizes)
        else:  # nothing is below -inf
            thresholds = self.selection.v1_thresholds if method == 'v1' else (-math.inf, -math.inf)
            masks = select_patches_by_threshold(importance_maps, thresholds, **sizes)

        self.last_selection_info = selection_info(masks)
        self.last_budget_info = None
        if method == 'budget':
            self.last_budget_info = budget_info(importance_maps, self.last_selection_info, budget=budget, **sizes)
        return masks

    def num_patches(self, grid_size: tuple[int, int]) -> int | None:
        """How many patches an image is read by, where that follows from its size alone.

        Args:
            grid_size: (rows, columns) of its P px patches, each a multiple of ``merge_size``.

        Returns:
            None where it depends on what the image shows, as it does for 'v1' and 'v2' if any patch may be coarse.
        """
        rows, columns = grid_size
        method = self.selection.patch_selection_method
        even = {self.patch_size * s: torch.zeros(1, -(-rows // s), -(-columns // s)) for s in SIZES}
        sizes = {'merge_size': self.merge_size, 'max_token_size': self.selection.max_token_size}
        fewest, num_splits = (int(number) for number in budget_splits(even, self._budget(even), **sizes))
        if method == 'budget':
            return fewest + 3 * self.merge_size**2 * num_splits
        # 'v2' has no threshold without a whole 4 P px patch, and nothing is below a threshold of 0.
        unused = method == 'v2' and (self.selection.alpha == 0 or min(grid_size) < SIZES[-1])
        dense = method == 'none' or unused or fewest == rows * columns
        return rows * columns if dense else None

    def _budget(self, importance_maps: dict[int, Tensor]) -> int:
        """The patches that an alpha of 'budget' stands for."""
        return round(self.selection.alpha * math.prod(importance_maps[min(importance_maps)].shape[1:]))

    def construct_patch_groups(self, images: Tensor, masks: dict[int, Tensor]) -> dict[int, Tensor]:
        """Take the selected patches out of images and bring them down to P x P by area means.

        Args:
            images: [B, 3, H, W], of any range; integers become float32. Where a patch sticks out, the border pixels
                are repeated.
            masks: {P: [B, rows, columns], 2 P: ..., 4 P: ...} bool, of images of this size.

        Returns:
            {P: [n, 3, P, P], 2 P: ..., 4 P: ...}, the patches in the order of ``masks[size].nonzero()``.

        Raises:
            ValueError: masks of images of another size, or of another patch size.
        """
        base, (height, width) = self.patch_size, images.shape[-2:]
        if min(masks) != base:
            raise ValueError(f'masks are of patches of {min(masks)} px, the tokenizer has a patch_size of {base}')
        expected = (len(images), -(-height // base), -(-width // base))
        if masks[base].shape != expected:
            raise ValueError(
                f'masks lie on grids {tuple(masks[base].shape)}, images of shape {tuple(images.shape)} have {expected}'
            )
        images = images if images.is_floating_point() else images.float()
        groups = {}
        for size, selected in masks.items():
            rows, columns, pixels = height // size, width // size, images
            if selected[:, rows:].any() or selected[:, :, columns:].any():  # padding copies the image; few need it
                _, rows, columns = selected.shape
                pixels = F.pad(images, (0, columns * size - width, 0, rows * size - height), mode='replicate')
            pixels = pixels[..., : rows * size, : columns * size]
            grid = pixels.unflatten(3, (columns, size)).unflatten(2, (rows, size))  # [B, 3, rows, S, columns, S]
            grid = grid.permute(0, 2, 4, 1, 3, 5)  # [B, rows, columns, 3, S, S]
            groups[size] = grid[selected[:, :rows, :columns]]  # [n, 3, S, S]
            if size > base:
                groups[size] = F.avg_pool2d(groups[size], size // base)
        return groups

    def _layout_order(self, masks: dict[int, Tensor]) -> Tensor:
        """[patches] long: indices that bring concatenated patch groups into the order of the layouts."""
        base, m = min(masks), self.merge_size
        _, rows, columns = masks[base].shape
        places = []
        for size, selected in masks.items():
            image, row, column = selected.nonzero(as_tuple=True)
            top, left = row // m * m * (size // base), column // m * m * (size // base)
            places.append((((image * rows + top) * columns + left) * m + row % m) * m + column % m)
        return torch.cat(places).argsort()
