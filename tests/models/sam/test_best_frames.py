import re

import pytest
import torch

from flmm.models.sam.best_frames import best_frames

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
