"""Which frames of a video to begin with, where masks of a few frames are carried through the others."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from flmm.mask_logits import MaskLogits


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


def best_masks(
    refined: Sequence[MaskLogits],
    *,
    scores: Sequence[Tensor],
    existence: Sequence[Tensor | None],
    exists: Sequence[Tensor | None],
    num: int,
    keeps: Callable[[Tensor], Tensor],
) -> tuple[list[dict[int, Tensor]], Tensor]:
    """Choose the masks that a tracker begins with: those of each object's best frames.

    The best frames are those of the highest score, times ``existence`` where that is judged, among those in which the
    object has a mask that the tracker keeps.

    Args:
        refined: of each of F frames, the M masks, one of each object.
        scores: of each frame [M], the IoU that SAM expects of each mask.
        existence: of each frame [M], 0 to 1, how sure the model is that it shows the object; None where that is not
            judged.
        exists: of each frame [M] bool, the verdict: without it there is no mask. None exactly where ``existence`` is.
        num: so many masks of an object, or fewer where fewer frames have one.
        keeps: says which masks, [m, IH, IW] bool, can be tracked, [m] bool
            (:meth:`flmm.models.sam.video_tracker.VideoTracker.keeps`).

    Returns:
        For each object its masks, [IH, IW] bool, by number of the frame; and [M], on the CPU, the highest score of
        these, 0 of an object without any.

    Raises:
        ValueError: what :func:`best_frames` refuses.
    """
    quality, usable = [], []
    for logits, score, sure, verdict in zip(refined, scores, existence, exists, strict=True):
        quality.append(score if sure is None else score * sure)
        usable.append(torch.cat([keeps(masks) for _, masks in logits.mask_chunks(verdict)]))
    best = best_frames(torch.stack(quality).cpu(), num=num, usable=torch.stack(usable).cpu())
    given = [{frame: refined[frame][[index]].masks()[0] for frame in own} for index, own in enumerate(best)]
    highest = [max((float(scores[frame][index]) for frame in own), default=0.0) for index, own in enumerate(best)]
    return given, torch.tensor(highest)
