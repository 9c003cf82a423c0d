"""How well an attention map, as it is, says where a mask lies."""

import torch
from torch import Tensor


def best_threshold_iou(maps: Tensor, coverage: Tensor) -> Tensor:
    """IoU of each map with its mask, at the threshold that is best for the two.

    A threshold takes whole units, of which the mask may cover a part: intersection is what it covers of the taken ones,
    union is the taken ones and what it covers of the others. All thresholds are tried; units of equal attention are
    taken together.

    Args:
        maps: [M, C, h, w], attention of M phrases by C heads.
        coverage: [M, h, w] in 0..1, the share of each unit that the phrase's mask covers.

    Returns:
        [M, C] in 0..1; 0 where the mask is empty.

    Raises:
        ValueError: the shapes do not fit together.
    """
    if maps.ndim != 4 or coverage.shape != (maps.shape[0], *maps.shape[2:]):
        raise ValueError(
            f'maps {tuple(maps.shape)} and coverage {tuple(coverage.shape)} do not fit; expected [M, C, h, w] and '
            '[M, h, w]'
        )
    attention, order = maps.flatten(2).sort(dim=-1, descending=True)
    covered = coverage.to(attention.dtype).flatten(1)[:, None]
    intersection = covered.expand_as(attention).gather(-1, order).cumsum(dim=-1)
    taken = torch.arange(1, attention.shape[-1] + 1, device=maps.device)
    iou = intersection / (taken + covered.sum(dim=-1, keepdim=True) - intersection)
    splits_a_tie = torch.zeros_like(iou, dtype=torch.bool)
    splits_a_tie[..., :-1] = attention[..., 1:] == attention[..., :-1]
    return iou.masked_fill(splits_a_tie, 0).amax(dim=-1)
