"""A layout that reads one region of an image finely, and the rest the more coarsely the farther it is away."""

import torch

from flmm.apt.layout import SIZES, TokenLayout
from flmm.apt.selection import select_patches_by_budget


def region_layout(
    grid_size: tuple[int, int], *, rows: tuple[int, int], columns: tuple[int, int], num_tokens: int
) -> TokenLayout:
    """Spend a number of tokens on a region first, then on what is near it.

    Every token that reaches into the region covers a single unit. What of ``num_tokens`` is left splits the larger ones
    by the budget selection (:func:`flmm.apt.select_patches_by_budget`), nearest first. Where the region alone needs
    more than ``num_tokens``, the layout has as many as that.

    Args:
        grid_size: (h, w), the dense grid in units.
        rows: the first row of units of the region, and the one behind its last.
        columns: the same of its columns.
        num_tokens: how many tokens the layout has, up to two fewer.

    Raises:
        ValueError: a region that is empty or reaches outside the grid.

    >>> layout = region_layout((16, 16), rows=(4, 6), columns=(8, 10), num_tokens=64)
    >>> len(layout), layout.tokens[:, 2].unique(return_counts=True)[1].tolist()  # of 1, 2 and 4 units
    (64, [40, 14, 10])
    """
    for name, bounds, side in (('rows', rows, grid_size[0]), ('columns', columns, grid_size[1])):
        if not 0 <= bounds[0] < bounds[1] <= side:
            raise ValueError(
                f'{name} of the region are {bounds}, expected 0 <= first < end <= {side}, those of the grid'
            )
    distances = [
        (torch.maximum(start - places, places - (stop - 1))).clamp(min=0)
        for (start, stop), places in zip((rows, columns), map(torch.arange, grid_size), strict=True)
    ]
    distance = torch.hypot(distances[0][:, None].float(), distances[1][None].float())  # [h, w], in units
    # So that a token of 2x2 units with one in the region comes before any with none.
    importance = torch.where(distance == 0, 8.0, 1 / (1 + distance))
    maps = {size: torch.zeros(1, -(-grid_size[0] // size), -(-grid_size[1] // size)) for size in SIZES}
    splits = 0
    for size in SIZES[1:]:  # whole tokens of this size that reach into the region
        down, across = (
            max(min((stop - 1) // size, cells // size - 1) - start // size + 1, 0)
            for (start, stop), cells in zip((rows, columns), grid_size, strict=True)
        )
        splits += down * across
    budget = max(num_tokens, TokenLayout.fewest_tokens(grid_size) + 3 * splits)
    masks = select_patches_by_budget({**maps, 1: importance[None]}, budget, merge_size=1)
    return TokenLayout.from_masks(masks, merge_size=1)[0]
