"""Which frames of a video to begin with, where masks of a few frames are carried through the others."""

import torch
from torch import Tensor


def best_frames(scores: Tensor, *, num: int, usable: Tensor | None = None) -> list[list[int]]:
    """Choose the frames in which each object was found best.

    Args:
        scores: [F, M], how good the mask of each of M objects is in each of F frames; of equal ones the first counts.
        num: so many frames of an object, or fewer where fewer are usable.
        usable: [F, M] bool, whether there is a mask to begin with. None: there always is.

    Returns:
        M lists of frame numbers, each in ascending order. An object without a usable frame has none.

    Raises:
        ValueError: ``num`` below 1, or scores that are no [F, M] or not all numbers.

    >>> best_frames(torch.tensor([[0.9, 0.2], [0.4, 0.3], [0.8, 0.1]]), num=2)
    [[0, 2], [0, 1]]
    """
    if num < 1:
        raise ValueError(f'num of best frames is {num}, expected at least 1')
    if scores.ndim != 2 or scores.isnan().any():
        raise ValueError(f'scores of shape {tuple(scores.shape)} must be [frames, objects] without NaN')
    usable = torch.ones_like(scores, dtype=torch.bool) if usable is None else usable
    ranked = scores.argsort(dim=0, descending=True, stable=True)  # [F, M]
    chosen = []
    for column, order in enumerate(ranked.T.tolist()):
        chosen.append(sorted([frame for frame in order if usable[frame, column]][:num]))
    return chosen
