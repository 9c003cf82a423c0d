import re

import pytest
import torch

from flmm.geometry import nonempty
from flmm.mask_logits import MaskLogits
from flmm.models.sam.best_frames import best_frames, best_masks

SCORES = torch.tensor([[0.9, 0.2, 0.5], [0.4, 0.3, 0.5], [0.8, 0.1, 0.5], [0.1, 0.3, 0.5]])


@pytest.mark.parametrize(
    ('num', 'expected'),
    [
        (1, [[0], [1], [0]]),  # of equal ones the first
        (2, [[0, 2], [1, 3], [0, 1]]),
        (3, [[0, 1, 2], [0, 1, 3], [0, 1, 2]]),
        (9, [[0, 1, 2, 3]] * 3),
    ],
)
def test_the_highest_scores_in_order_of_time(num, expected):
    assert best_frames(SCORES, num=num) == expected


def test_only_usable_frames_are_taken():
    usable = torch.tensor([[False, True, False], [True, False, False], [True, False, False], [True, False, False]])
    assert best_frames(SCORES, num=2, usable=usable) == [[1, 2], [0], []]


@pytest.mark.parametrize(
    ('scores', 'num', 'message'),
    [
        (SCORES, 0, 'num of best frames is 0, expected at least 1'),
        (SCORES[0], 1, 'scores of shape (3,) must be [frames, objects] without NaN'),
        (SCORES * float('nan'), 1, 'scores of shape (4, 3) must be [frames, objects] without NaN'),
    ],
)
def test_what_makes_no_sense_is_refused(scores, num, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        best_frames(scores, num=num)


def masks_of(*corners):
    """A frame of 2 x 2 px with a mask of each object: the pixel in the first or last corner, or none."""
    masks = torch.zeros(len(corners), 4, dtype=torch.bool)
    for mask, corner in zip(masks, corners, strict=True):
        if corner is not None:
            mask[corner] = True
    return masks.view(-1, 2, 2)


SAM_SCORES = [torch.tensor([0.9, 0.9]), torch.tensor([0.8, 0.9]), torch.tensor([0.5, 0.9])]
MASKS = [masks_of(0, None), masks_of(1, 1), masks_of(2, None)]


def chosen(*, num, existence=(None,) * 3, exists=(None,) * 3, keeps=nonempty):
    """Frames and masks of both objects, and their scores."""
    refined = [MaskLogits.from_image(masks.float() * 2 - 1) for masks in MASKS]
    given, scores = best_masks(refined, scores=SAM_SCORES, existence=existence, exists=exists, num=num, keeps=keeps)
    for index, masks in enumerate(given):
        for frame, mask in masks.items():
            assert torch.equal(mask, MASKS[frame][index])
    return [list(masks) for masks in given], scores.tolist()


def test_best_masks_without_a_judge():
    assert chosen(num=1) == ([[0], [1]], pytest.approx([0.9, 0.9]))
    assert chosen(num=2) == ([[0, 1], [1]], pytest.approx([0.9, 0.9]))


def test_best_masks_of_what_is_judged_to_be_there():
    existence = [torch.tensor([0.3, 0.1]), torch.tensor([0.7, 0.1]), torch.tensor([0.9, 0.1])]
    there = [torch.tensor([True, False])] * 3
    # 0.9 * 0.3 = 0.27, 0.8 * 0.7 = 0.56, 0.5 * 0.9 = 0.45; the only mask of the second object is judged away.
    assert chosen(num=1, existence=existence, exists=there) == ([[1], []], pytest.approx([0.8, 0.0]))
    assert chosen(num=2, existence=existence, exists=there) == ([[1, 2], []], pytest.approx([0.8, 0.0]))
    verdict = [torch.tensor([True, True]), torch.tensor([False, True]), torch.tensor([True, True])]
    # Without the best frame the next are taken; the score is SAM's, without existence.
    assert chosen(num=1, existence=existence, exists=verdict) == ([[2], [1]], pytest.approx([0.5, 0.9]))
    assert chosen(num=2, existence=existence, exists=verdict) == ([[0, 2], [1]], pytest.approx([0.9, 0.9]))


def test_best_masks_are_such_as_the_tracker_keeps():
    def keeps(masks):
        return masks[:, 1].any(dim=1)  # those in the lower row

    assert chosen(num=2, keeps=keeps) == ([[2], []], pytest.approx([0.5, 0.0]))
