"""Adaptive patch tokenization: images -> patches of 14, 28 and 56 px, each brought down to 14x14, and their layout.

Letters: B images of one size, (H, W) that size in px, T tokens of an image, m merge_size (m x m patches of one
size make one token). Maps and masks are dictionaries {14: [B, rows, columns], 28: ..., 56: ...} on ceil-sized grids.

Source: Choudhury et al., "Accelerating Vision Transformers with Adaptive Patch Sizes", ICLR 2026.
"""

import math
import warnings
from collections.abc import Sequence
from numbers import Integral, Real

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm.apt.importance import PATCH_SIZES, check_importance_settings, compute_importance_maps
from flmm.apt.layout import SIZES, TokenLayout
from flmm.apt.selection import (
    budget_splits,
    select_patches_by_budget,
    select_patches_by_threshold,
    select_patches_by_threshold_v2,
)
from flmm.apt.selection_info import BudgetInfo, SelectionInfo, budget_info, selection_info

SELECTION_METHODS = ('none', 'v1', 'v2', 'budget')

# Entropy is the yardstick: the others make about as many of the complete patches of photographs coarse. Measured on
# the colour photos that come with scikit-image (astronaut, chelsea, coffee, rocket, motorcycle_left) at half, full and
# twice their size (bicubic). Mean share over the 15 pictures, of patches below the threshold, before larger ones win:
#                       28 px   56 px
#   entropy              5.9 %   0.7 %
#   laplacian, mean      6.1 %   0.8 %
#   laplacian, max       5.4 %   0.8 %
#   laplacian, std       6.1 %   0.8 %
#   upsample_mse         5.6 %   0.5 %
# A blur leaves entropy's shares as they are (5.4 and 0.6 % at 5 px) and raises the others', as it is meant to: what is
# noise no longer counts (laplacian, mean, at 5 px: 33 and 17 %; upsample_mse: 21 and 9 %).
DEFAULT_THRESHOLDS = {
    ('entropy', None): (3.0, 2.0),
    ('laplacian', 'mean'): (1.0, 0.5),
    ('laplacian', 'max'): (4.0, 3.3),
    ('laplacian', 'std'): (1.3, 0.8),
    ('upsample_mse', None): (0.1, 0.1),
}
"""For each method and aggregate the thresholds of 'v1', for patches of 28 and of 56 px."""


class PatchTokenizer:
    """Read smooth parts of images with fewer patches.

    Args:
        patch_selection_method: 'none', all patches are 14 px; 'v1', fixed ``thresholds``; 'v2', a threshold that
            follows from the image; 'budget', a share of the dense number of patches. See ``flmm.apt.selection``.
        alpha: for 'budget' that share, in (0, 1]; for 'v2' the factor of the threshold, at least 0. 'v1' and 'none'
            don't use it.
        thresholds: of 'v1', for patches of 28 and of 56 px; None takes those of ``DEFAULT_THRESHOLDS``.
        method: what importance is: 'entropy', 'laplacian' or 'upsample_mse'. See ``flmm.apt.importance``.
        laplacian_aggregate: 'mean', 'max' or 'std'.
        blur: side in px of the box that smooths the image before importance is measured, odd; 1 smooths nothing.
        max_token_size: the largest token, in units (m x m patches of 14 px): 4 or 2, or 1 for none that is coarse.
        merge_size: m, 1 or 2.

    Attributes:
        last_selection_info: one :class:`SelectionInfo` for each image of the last :meth:`construct_masks`.
        last_budget_info: one :class:`BudgetInfo` for each image, or None where the method is not 'budget'.

    Raises:
        ValueError: a setting outside of what is allowed.
    """

    def __init__(
        self,
        *,
        patch_selection_method: str = 'v1',
        alpha: float = 1.0,
        thresholds: Sequence[float] | None = None,
        method: str = 'entropy',
        laplacian_aggregate: str = 'mean',
        blur: int = 1,
        max_token_size: int = 4,
        merge_size: int = 1,
    ) -> None:
        if not isinstance(patch_selection_method, str) or patch_selection_method not in SELECTION_METHODS:
            raise ValueError(
                f'patch_selection_method is {patch_selection_method!r}, expected one of {SELECTION_METHODS}'
            )
        number = isinstance(alpha, Real) and not isinstance(alpha, bool)
        if patch_selection_method == 'budget' and not (number and 0 < alpha <= 1):
            raise ValueError(f'alpha is {alpha!r}, expected a share of the dense patches in (0, 1] for the budget')
        if patch_selection_method == 'v2' and not (number and 0 <= alpha < math.inf):
            raise ValueError(f'alpha is {alpha!r}, expected a finite factor of the mean importance, at least 0, for v2')
        if not number:
            raise ValueError(f'alpha is {alpha!r}, expected a number')
        if patch_selection_method in ('none', 'v1') and alpha != 1.0:
            warnings.warn(
                f'alpha is {alpha}, but patch_selection_method {patch_selection_method!r} does not use it; '
                "'v2' and 'budget' do",
                UserWarning,
                stacklevel=2,
            )
        check_importance_settings(method=method, laplacian_aggregate=laplacian_aggregate, blur=blur)
        if thresholds is None:
            thresholds = DEFAULT_THRESHOLDS[method, laplacian_aggregate if method == 'laplacian' else None]
        two = isinstance(thresholds, Sequence) and len(thresholds) == 2
        numbers = two and all(isinstance(each, Real) and not isinstance(each, bool) for each in thresholds)
        if not numbers or not all(each > 0 for each in thresholds):
            raise ValueError(
                f'thresholds are {thresholds}, expected two positive numbers: for patches of 28 and of 56 px'
            )
        if not isinstance(max_token_size, Integral) or isinstance(max_token_size, bool) or max_token_size not in SIZES:
            raise ValueError(f'max_token_size is {max_token_size!r}, expected one of {SIZES}')
        if merge_size not in (1, 2):
            raise ValueError(f'merge_size is {merge_size!r}, expected 1 or 2')
        self.patch_selection_method = patch_selection_method
        self.alpha = float(alpha)
        self.thresholds = tuple(float(threshold) for threshold in thresholds)
        self.method = method
        self.laplacian_aggregate = laplacian_aggregate
        self.blur = blur
        self.max_token_size = int(max_token_size)
        self.merge_size = merge_size
        self.last_selection_info: list[SelectionInfo] | None = None
        self.last_budget_info: list[BudgetInfo] | None = None

    def __call__(self, images: Tensor, *, pixels: Tensor | None = None) -> tuple[list[Tensor], list[TokenLayout]]:
        """Cut images into patches.

        Args:
            images: [B, 3, H, W] RGB, uint8 or floating point, 0..255; the selection is made on them.
            pixels: [B, 3, H, W], what the patches are taken from, such as the images normalised; None takes ``images``.

        Returns:
            For each image its patches, [T * m * m, 3, 14, 14] floating point, token by token in the order of its
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
        if min(images.shape[-2:]) < PATCH_SIZES[0]:
            raise ValueError(
                f'images of (height, width) {tuple(images.shape[-2:])} are smaller than one patch; '
                f'resize them to at least {PATCH_SIZES[0]} px'
            )
        return compute_importance_maps(
            images, method=self.method, laplacian_aggregate=self.laplacian_aggregate, blur=self.blur
        )

    def construct_masks(self, importance_maps: dict[int, Tensor]) -> dict[int, Tensor]:
        """Select patches; fills in ``last_selection_info`` and ``last_budget_info``.

        Args:
            importance_maps: {14: [B, rows, columns], 28: ..., 56: ...}.

        Returns:
            {14: [B, rows, columns], 28: ..., 56: ...} bool, disjoint, covering each 14 px patch once.

        Raises:
            ValueError: maps that don't fit together, or a grid that ``merge_size`` does not divide.
        """
        sizes = {'merge_size': self.merge_size, 'max_token_size': self.max_token_size}
        if self.patch_selection_method == 'v2':
            masks = select_patches_by_threshold_v2(importance_maps, self.alpha, **sizes)
        elif self.patch_selection_method == 'budget':
            budget = self._budget(importance_maps)
            masks = select_patches_by_budget(importance_maps, budget, **sizes)
        else:  # nothing is below -inf
            thresholds = self.thresholds if self.patch_selection_method == 'v1' else (-math.inf, -math.inf)
            masks = select_patches_by_threshold(importance_maps, thresholds, **sizes)

        self.last_selection_info = selection_info(masks)
        self.last_budget_info = None
        if self.patch_selection_method == 'budget':
            self.last_budget_info = budget_info(importance_maps, self.last_selection_info, budget=budget, **sizes)
        return masks

    def num_patches(self, grid_size: tuple[int, int]) -> int | None:
        """How many patches an image is read by, where that follows from its size alone.

        Args:
            grid_size: (rows, columns) of its 14 px patches, each a multiple of ``merge_size``.

        Returns:
            None where it depends on what the image shows, as it does for 'v1' and 'v2' if any patch may be coarse.
        """
        rows, columns = grid_size
        even = {
            size: torch.zeros(1, -(-rows * PATCH_SIZES[0] // size), -(-columns * PATCH_SIZES[0] // size))
            for size in PATCH_SIZES
        }
        sizes = {'merge_size': self.merge_size, 'max_token_size': self.max_token_size}
        fewest, splits = (int(number) for number in budget_splits(even, self._budget(even), **sizes))
        if self.patch_selection_method == 'budget':
            return fewest + 3 * self.merge_size**2 * splits
        # 'v2' has no threshold without a whole 56 px patch, and nothing is below a threshold of 0.
        unused = self.patch_selection_method == 'v2' and (self.alpha == 0 or min(grid_size) < 4)
        dense = self.patch_selection_method == 'none' or unused or fewest == rows * columns
        return rows * columns if dense else None

    def _budget(self, importance_maps: dict[int, Tensor]) -> int:
        """The patches that an alpha of 'budget' stands for."""
        return round(self.alpha * math.prod(importance_maps[min(importance_maps)].shape[1:]))

    def construct_patch_groups(self, images: Tensor, masks: dict[int, Tensor]) -> dict[int, Tensor]:
        """Take the selected patches out of images and bring them down to 14x14 by area means.

        Args:
            images: [B, 3, H, W], of any range; integers become float32. Where a patch sticks out, the border pixels
                are repeated.
            masks: {14: [B, rows, columns], 28: ..., 56: ...} bool, of images of this size.

        Returns:
            {14: [n, 3, 14, 14], 28: ..., 56: ...}, the patches in the order of ``masks[size].nonzero()``.

        Raises:
            ValueError: masks of images of another size.
        """
        patch, (height, width) = PATCH_SIZES[0], images.shape[-2:]
        expected = (len(images), -(-height // patch), -(-width // patch))
        if masks[patch].shape != expected:
            raise ValueError(
                f'masks lie on grids {tuple(masks[patch].shape)}, images of shape {tuple(images.shape)} have {expected}'
            )
        images = images if images.is_floating_point() else images.float()
        groups = {}
        for size, selected in masks.items():
            rows, columns, pixels = height // size, width // size, images
            if selected[:, rows:].any() or selected[:, :, columns:].any():  # padding copies the image; few need it
                _, rows, columns = selected.shape
                pixels = F.pad(images, (0, columns * size - width, 0, rows * size - height), mode='replicate')
            pixels = pixels[..., : rows * size, : columns * size]
            grid = pixels.unflatten(3, (columns, size)).unflatten(2, (rows, size)).permute(0, 2, 4, 1, 3, 5)
            groups[size] = grid[selected[:, :rows, :columns]]
            if size > patch:
                groups[size] = F.avg_pool2d(groups[size], size // patch)
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
