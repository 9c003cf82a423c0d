"""Rewards of an answer that need nothing but the truth, by name.

After Seg-Zero (arXiv:2503.06520) and VisionReasoner (arXiv:2505.12081), for any number of objects: answered and true
objects are matched one to one so that the sum over pairs is largest, and it is divided by the larger of both numbers.
Each reward matches by itself. The code of VisionReasoner matches once, by the sum of its three rewards; it takes the
straight distance of points, which the paper calls L1 as here, and asks that they lie in the box answered with them.
In the papers, something is always there. Here, where nothing is, an answer without objects is right and has 1, any
other 0; where something is, one without objects has 0. An answer that cannot be read has 0.

Letters: K answered objects, N true ones.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from flmm.reinforce.answer import Answer, AnswerFormat
from flmm.reinforce.truth import Truth

SIDE = 840
"""Distances are of the papers' images, which are brought to 840 x 840 px."""
BOX_DISTANCE, POINT_DISTANCE, LEAST_IOU = 10.0, 30.0, 0.5
"""Of VisionReasoner: a box or point is right that is nearer than so many px of :data:`SIDE`; above this IoU."""


@dataclass(frozen=True, kw_only=True)
class Reward:
    """A reward of one answer.

    Args:
        score: of an answer that can be read, 0 to 1; None where a grounder is needed
            (:class:`~flmm.reinforce.MaskIoU`).
        needs: the field of :class:`Truth` that it compares with; None compares with nothing.
        reads: the field of :class:`AnsweredObject` that it reads; None reads none.
    """

    score: Callable[[Answer, Truth], float] | None
    needs: str | None = None
    reads: str | None = None


def one_to_one(scores: np.ndarray) -> float:
    """Match objects one to one so that their scores are largest together.

    Args:
        scores: [K, N], 0 to 1, of each answered object with each true one.

    Returns:
        Their sum over the larger of K and N, 0 to 1; 1 where both are 0.
    """
    if not any(scores.shape):
        return 1.0
    return float(scores[linear_sum_assignment(scores, maximize=True)].sum()) / max(scores.shape)


def box_ious(answered: Sequence[Sequence[float]], true: Sequence[Sequence[float]]) -> np.ndarray:
    """IoU of each box with each: K and N of (x1, y1, x2, y2) -> [K, N] float64."""
    a, b = np.array(answered).reshape(-1, 1, 4), np.array(true).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])  # [K, N, 2]
    common = sides.clip(min=0).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (a, b)]
    return common / (areas[0] + areas[1] - common)


def box_iou(answer: Answer, truth: Truth) -> float:
    """Give each pair of boxes 1 whose IoU is above 0.5 (VisionReasoner: bboxes IoU reward)."""
    return _matched(answer, 'box', truth, lambda boxes: box_ious(boxes, truth.boxes or ()) > LEAST_IOU)


def box_l1(answer: Answer, truth: Truth) -> float:
    """Give each pair of boxes 1 whose coordinates differ by less than 10 px on average (bboxes L1 reward)."""
    return _matched(answer, 'box', truth, lambda boxes: _differences(boxes, truth).mean(axis=-1) < BOX_DISTANCE)


def point_l1(answer: Answer, truth: Truth) -> float:
    """Give each pair of points 1 that are less than 30 px apart, in x and y together (points L1 reward)."""
    return _matched(answer, 'point', truth, lambda points: _differences(points, truth).sum(axis=-1) < POINT_DISTANCE)


def point_in_mask(answer: Answer, truth: Truth) -> float:
    """Give each pair 1 whose point lies on the mask (the pointing game of Zhang et al., arXiv:1608.00507)."""
    return _matched(answer, 'point', truth, lambda points: _inside(points, truth))


def count(answer: Answer, truth: Truth) -> float:
    """Give 1 for as many objects as there are, else 0."""
    return float(len(answer) == truth.count)


def is_readable(answer: Answer, truth: Truth) -> float:
    """Give 1 for every answer in the format; what is not, is no answer."""
    return 1.0


REWARDS: dict[str, Reward] = {
    'format': Reward(score=is_readable),
    'box_iou': Reward(score=box_iou, needs='boxes', reads='box'),
    'box_l1': Reward(score=box_l1, needs='boxes', reads='box'),
    'point_l1': Reward(score=point_l1, needs='points', reads='point'),
    'point_in_mask': Reward(score=point_in_mask, needs='rles', reads='point'),
    'count': Reward(score=count),
    'mask_iou': Reward(score=None, needs='rles', reads='phrase'),
}
"""A reward of one's own is added here, or to this dict from elsewhere."""


def chosen_rewards(texts: Sequence[str], *, answer_format: AnswerFormat) -> dict[str, float]:
    """Read which rewards are wanted, and how much each counts.

    Args:
        texts: each the name of a reward, or 'name=weight'.
        answer_format: in which answers are written.

    Returns:
        Weights by name, 1 where none is given.

    Raises:
        ValueError: no reward, an unknown one, one that is named twice, a weight that is no number or 0, or one that
            reads what the format does not write.
    """
    weights: dict[str, float] = {}
    for text in texts:
        name, equals, weight = text.partition('=')
        if name not in REWARDS:
            raise ValueError(f'unknown reward {name!r}, expected some of {", ".join(REWARDS)}')
        if name in weights:
            raise ValueError(f'reward {name!r} is named twice')
        try:
            weights[name] = float(weight) if equals else 1.0
        except ValueError as error:
            raise ValueError(f'reward {text!r} has the weight {weight!r}, expected a number') from error
        if not math.isfinite(weights[name]) or weights[name] == 0:
            raise ValueError(f'reward {text!r} has the weight {weight}, expected a finite number other than 0')
        reads = REWARDS[name].reads
        if reads is not None and reads not in answer_format.writes:
            raise ValueError(f'reward {name!r} reads the {reads} of an object, which the answer format does not write')
    if not weights:
        raise ValueError(f'no reward is named, expected some of {", ".join(REWARDS)}')
    return weights


def _matched(answer: Answer, field: str, truth: Truth, score: Callable[[list], np.ndarray]) -> float:
    """Match the places of an answer; an object that has none fits nothing."""
    scores = np.zeros((len(answer), truth.count))
    placed = [i for i, each in enumerate(answer) if getattr(each, field) is not None]
    if placed and truth.count:
        scores[placed] = score([getattr(answer[i], field) for i in placed])
    return one_to_one(scores)


def _differences(answered: list, truth: Truth) -> np.ndarray:
    """|answered - true| of each coordinate, in px of 840 x 840: [K, N, 2 or 4]."""
    true = truth.boxes if len(answered[0]) == 4 else truth.points
    scale = SIDE / np.array(truth.image_size * (len(answered[0]) // 2))
    return np.abs(np.array(answered)[:, None] - np.array(true)[None]) * scale


def _inside(points: list, truth: Truth) -> np.ndarray:
    """Whether each point lies on each mask, [K, N]; none does outside of the image."""
    width, height = truth.image_size
    x, y = np.floor(np.array(points)).astype(int).T
    shown = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return truth.masks[:, y.clip(0, height - 1), x.clip(0, width - 1)].T & shown[:, None]
