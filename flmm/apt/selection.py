"""Which patches of an image are read coarsely: importance maps -> masks of the patches of each size.

Letters: B images, P the base patch size in px (14 in Qwen2-VL), m merge_size (m x m patches of one size make one
token), (h, w) the grid in units (a unit is the square of one dense token, m x m base patches), s the size of a token in
units: 1, 2 or 4.

Maps and masks are dictionaries {P: [B, rows, columns], 2 P: ..., 4 P: ...}; the grids are ceil-sized, so patches of 2 P
and 4 P may stick out of the grid of base patches. Such *incomplete* patches, and those whose importance is not finite,
are never selected coarse. The masks are disjoint and cover each base patch once.
"""

import math
from collections.abc import Sequence
from numbers import Integral, Real

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm.apt.layout import SIZES


def select_patches_by_threshold(
    importance_maps: dict[int, Tensor], thresholds: Sequence[float], *, merge_size: int = 1, max_token_size: int = 4
) -> dict[int, Tensor]:
    """Select the patches whose importance is below a threshold; larger ones win over smaller ones ('v1').

    Args:
        importance_maps: {P: [B, rows, columns], 2 P: ..., 4 P: ...} from ``flmm.apt.importance``.
        thresholds: the one for patches of 2 P px and the one for patches of 4 P px.
        merge_size: with 2, a token is coarse where all its four patches are below the threshold.
        max_token_size: the largest token, in units: 4, 2, or 1 for none that is coarse.

    Returns:
        {P: [B, rows, columns], 2 P: ..., 4 P: ...} bool, for ``TokenLayout.from_masks``.

    Raises:
        ValueError: maps that don't fit together, a grid that ``merge_size`` does not divide, or not two thresholds.
    """
    base = _check(importance_maps, merge_size, max_token_size)
    if not isinstance(thresholds, Sequence) or len(thresholds) != 2 or not all(isinstance(t, Real) for t in thresholds):
        raise ValueError(f'thresholds are {thresholds}, expected two: for patches of {2 * base} and of {4 * base} px')
    below = {s: importance_maps[s * base] < threshold for s, threshold in zip((2, 4), thresholds, strict=True)}
    whole = _whole_tokens(importance_maps, merge_size, max_token_size, only=below)
    return _masks(importance_maps, whole, merge_size)


def select_patches_by_threshold_v2(
    importance_maps: dict[int, Tensor], alpha: float, *, merge_size: int = 1, max_token_size: int = 4
) -> dict[int, Tensor]:
    """Select the patches below a threshold that follows from the image ('v2'); larger ones win over smaller ones.

    Args:
        importance_maps: {P: [B, rows, columns], 2 P: ..., 4 P: ...} from ``flmm.apt.importance``.
        alpha: the threshold of both sizes is ``alpha`` times the mean importance of the image's complete 4 P px
            patches; the higher, the more is coarse. Without a complete 4 P px patch nothing is.
        merge_size: with 2, a token is coarse where all its four patches are below the threshold.
        max_token_size: the largest token, in units: 4, 2, or 1 for none that is coarse.

    Returns:
        {P: [B, rows, columns], 2 P: ..., 4 P: ...} bool, for ``TokenLayout.from_masks``.

    Raises:
        ValueError: maps that don't fit together, a grid that ``merge_size`` does not divide, or an ``alpha`` that is
            negative or no finite number.
    """
    base = _check(importance_maps, merge_size, max_token_size)
    if not isinstance(alpha, Real) or not 0 <= alpha < math.inf:
        raise ValueError(f'alpha is {alpha!r}, expected a finite factor of the mean importance, at least 0')
    largest, complete = importance_maps[4 * base], _complete_patches(importance_maps, 4)
    # In float64 the mean of equal values is that value, so that an even image is not below its own mean.
    total = largest.double().where(complete, 0).sum((1, 2))
    threshold = alpha * (total / complete.sum((1, 2)))[:, None, None]  # NaN without a complete patch: nothing is below
    below = {s: importance_maps[s * base].double() < threshold for s in (2, 4)}
    whole = _whole_tokens(importance_maps, merge_size, max_token_size, only=below)
    return _masks(importance_maps, whole, merge_size)


def select_patches_by_budget(
    importance_maps: dict[int, Tensor], budget: int | Tensor, *, merge_size: int = 1, max_token_size: int = 4
) -> dict[int, Tensor]:
    """Spend a number of patches where importance is highest.

    The fewest tokens that cover the image are split, one into four, until the next split would exceed the budget. A
    token of 2 x 2 units scores their mean importance, one of 4 x 4 units the highest score of its four parts (no lower
    than the mean of its sixteen units), so none scores less than its parts. Splits go by score; at equal scores larger
    tokens come first, then those further up, then further left: parents before their parts, always. More budget
    only adds splits.

    Args:
        importance_maps: {P: [B, rows, columns], 2 P: ..., 4 P: ...} from ``flmm.apt.importance``. Scores derive from
            the map of P; the others only say which patches are complete.
        budget: number of patches for each image, an int or [B] long. Below the fewest possible it is exceeded, with
            nothing split.
        merge_size: with 2, the budget buys ``budget // 4`` tokens, and the importance of a unit is the mean of its
            four patches.
        max_token_size: the largest token, in units: 4, 2, or 1 for none that is coarse.

    Returns:
        {P: [B, rows, columns], 2 P: ..., 4 P: ...} bool, for ``TokenLayout.from_masks``.

    Raises:
        ValueError: maps that don't fit together, a grid that ``merge_size`` does not divide, a map of P that is not
            finite, or a ``budget`` of another shape or type.
    """
    base = _check(importance_maps, merge_size, max_token_size)
    values = importance_maps[base]
    if not bool(values.isfinite().all()):
        raise ValueError(f'importance of the {base} px patches is not finite everywhere; scores need it')
    one_each = isinstance(budget, Tensor) and budget.shape == values.shape[:1] and not budget.is_floating_point()
    if not (one_each or isinstance(budget, Integral)):
        found = f'{tuple(budget.shape)} {budget.dtype}' if isinstance(budget, Tensor) else repr(budget)
        raise ValueError(f'budget is {found}, expected an int or one integer for each of the {len(values)} images')

    whole = _coarsest_tokens(importance_maps, merge_size, max_token_size)
    _, num_splits = budget_splits(importance_maps, budget, merge_size=merge_size, max_token_size=max_token_size)
    units = _blocks(values.double(), merge_size).mean(-1)  # [B, h, w]
    score = {2: _blocks(_pad(units, 2), 2).mean(-1)}  # [B, ceil(h / 2), ceil(w / 2)]
    score[2] = score[2].masked_fill(~whole[2], -torch.inf)
    score[4] = _blocks(_pad(score[2], 2, value=-torch.inf), 2).amax(-1)  # [B, ceil(h / 4), ceil(w / 4)]
    score[4] = score[4].masked_fill(~whole[4], -torch.inf)
    ranking = torch.cat([score[4].flatten(1), score[2].flatten(1)], dim=1)  # stable: ties stay in this order
    order = ranking.argsort(dim=1, descending=True, stable=True)
    chosen = torch.arange(order.shape[1], device=order.device) < num_splits[:, None]
    split = torch.zeros_like(order, dtype=torch.bool).scatter_(1, order, chosen)
    split = dict(zip((4, 2), split.split([score[4][0].numel(), score[2][0].numel()], dim=1), strict=True))
    coarse = {s: whole[s] & ~split[s].reshape(whole[s].shape) for s in (2, 4)}  # [B, ceil(h / s), ceil(w / s)]
    return _masks(importance_maps, coarse, merge_size)


def budget_splits(
    importance_maps: dict[int, Tensor], budget: int | Tensor, *, merge_size: int, max_token_size: int
) -> tuple[Tensor, Tensor]:
    """Say what :func:`select_patches_by_budget` starts from and how often it may split; arguments as there.

    Returns:
        [B] long each: the fewest patches that cover an image, and the number of splits that the budget allows.
    """
    whole = _coarsest_tokens(importance_maps, merge_size, max_token_size)
    coarsest = _masks(importance_maps, whole, merge_size)
    fewest = sum(mask.sum((1, 2)) for mask in coarsest.values())
    tokens = torch.as_tensor(budget, device=fewest.device) // merge_size**2
    return fewest, ((tokens - fewest // merge_size**2) // 3).clamp(min=0)


def _check(maps: dict[int, Tensor], merge_size: int, max_token_size: int) -> int:
    """Return the base patch size of maps that fit together."""
    if merge_size not in (1, 2):
        raise ValueError(f'merge_size is {merge_size!r}, expected 1 or 2')
    if max_token_size not in SIZES:
        raise ValueError(f'max_token_size is {max_token_size!r}, expected one of {SIZES}')
    base = min(maps, default=0)
    if sorted(maps) != [base, 2 * base, 4 * base]:
        raise ValueError(
            f'importance maps have the patch sizes {sorted(maps)}, expected P, 2 P and 4 P, such as 14, 28, 56'
        )
    images, rows, columns = maps[base].shape
    for s in (2, 4):
        expected = (images, -(-rows // s), -(-columns // s))
        if maps[s * base].shape != expected:
            raise ValueError(
                f'the {s * base} px map has shape {tuple(maps[s * base].shape)}, expected {expected}: '
                f'that of the {base} px map, {(images, rows, columns)}, with rows and columns over {s}, rounded up'
            )
    if rows % merge_size or columns % merge_size:
        raise ValueError(
            f'a grid of {rows}x{columns} patches does not divide into tokens of {merge_size}x{merge_size}; '
            f'resize the image to multiples of {merge_size * base} px'
        )
    return base


def _complete_patches(maps: dict[int, Tensor], s: int) -> Tensor:
    """[B, rows, columns] bool: patches of size s * P that lie inside the base grid and have a finite importance."""
    base = min(maps)
    _, rows, columns = maps[base].shape
    complete = maps[s * base].isfinite()
    complete[:, rows // s :] = False
    complete[:, :, columns // s :] = False
    return complete


def _whole_tokens(
    maps: dict[int, Tensor], merge_size: int, max_token_size: int, *, only: dict[int, Tensor] | None = None
) -> dict[int, Tensor]:
    """{2: [B, ceil(h / 2), ceil(w / 2)], 4: ...} bool: tokens all of whose patches are complete, and in ``only``."""
    whole = {}
    for s in (2, 4):
        patches = _complete_patches(maps, s)
        if s > max_token_size:
            patches.fill_(value=False)
        if only is not None:
            patches &= only[s]
        whole[s] = _blocks(_pad(patches, merge_size), merge_size).all(-1)  # [B, ceil(h / s), ceil(w / s)]
    return whole


def _coarsest_tokens(maps: dict[int, Tensor], merge_size: int, max_token_size: int) -> dict[int, Tensor]:
    """The tokens of :func:`_whole_tokens` that splits can start from."""
    whole = _whole_tokens(maps, merge_size, max_token_size)
    # A split makes four tokens of the next size. In maps of images the parts of a complete patch are complete.
    whole[4] &= _blocks(_pad(whole[2], 2), 2).all(-1)  # [B, ceil(h / 4), ceil(w / 4)]
    return whole


def _masks(maps: dict[int, Tensor], coarse: dict[int, Tensor], merge_size: int) -> dict[int, Tensor]:
    """Turn the coarse tokens of :func:`_whole_tokens` into masks of patches; the larger token wins."""
    base = min(maps)
    half = coarse[2] & ~_spread(coarse[4], 2, coarse[2].shape)
    large, medium = (_spread(tokens, merge_size, maps[s * base].shape) for s, tokens in ((4, coarse[4]), (2, half)))
    shape = maps[base].shape
    return {base: ~(_spread(large, 4, shape) | _spread(medium, 2, shape)), 2 * base: medium, 4 * base: large}


def _blocks(values: Tensor, side: int) -> Tensor:
    """Bring together the cells of each square: [B, rows, columns] -> [B, rows / side, columns / side, side * side]."""
    squares = values.unflatten(2, (-1, side)).unflatten(1, (-1, side))  # [B, rows / side, side, columns / side, side]
    return squares.transpose(2, 3).flatten(3)  # [B, rows / side, columns / side, side * side]


def _pad(values: Tensor, side: int, *, value: float = 0) -> Tensor:
    """Round rows and columns of [B, rows, columns] up to multiples of ``side``."""
    _, rows, columns = values.shape
    return F.pad(values, (0, -columns % side, 0, -rows % side), value=value)


def _spread(mask: Tensor, side: int, shape: Sequence[int]) -> Tensor:
    """Repeat each cell of [B, rows, columns] over side x side cells, and crop to ``shape``."""
    return mask.repeat_interleave(side, 1).repeat_interleave(side, 2)[:, : shape[1], : shape[2]]
