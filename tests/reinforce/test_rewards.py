"""Rewards against cases computed by hand; what holds for all of them."""

import itertools

import numpy as np
import pytest

from flmm.reinforce import ANSWER_FORMATS, REWARDS, AnsweredObject, chosen_rewards
from flmm.reinforce.rewards import box_ious, one_to_one

A, B = (0, 0, 100, 100), (200, 200, 300, 400)


def score(name, answer, truth):
    return REWARDS[name].score(answer, truth)


def test_box_iou_counts_pairs_above_one_half(true, said):
    truth = true(boxes=[A, B])
    assert score('box_iou', said(boxes=[B, A]), truth) == 1
    # 100 x 51 of A: IoU 0.51; 100 x 50: 0.5, which is not above
    assert score('box_iou', said(boxes=[(0, 0, 100, 51), B]), truth) == 1
    assert score('box_iou', said(boxes=[(0, 0, 100, 50), B]), truth) == 1 / 2
    assert score('box_iou', said(boxes=[A]), truth) == 1 / 2  # one of two is missing
    assert score('box_iou', said(boxes=[A, A, A, A]), truth) == 1 / 4  # one of four fits
    assert score('box_iou', said(boxes=[A, B, (400, 0, 500, 100)]), truth) == 2 / 3
    assert score('box_iou', said(boxes=[(500, 500, 600, 600), (700, 0, 800, 100)]), truth) == 0


def test_box_l1_counts_pairs_less_than_ten_px_apart_on_average(true, said):
    truth = true(boxes=[A])
    assert score('box_l1', said(boxes=[(9.9, 9.9, 109.9, 109.9)]), truth) == 1
    assert score('box_l1', said(boxes=[(0, 0, 139.9, 100)]), truth) == 1  # 39.9 / 4
    assert score('box_l1', said(boxes=[(10, 10, 110, 110)]), truth) == 0
    # the same in an image of a quarter of the side: 2.5 px of 210 are 10 of 840
    small = true(boxes=[(0, 0, 25, 25)], size=(210, 210))
    assert score('box_l1', said(boxes=[(2.4, 2.4, 27.4, 27.4)]), small) == 1
    assert score('box_l1', said(boxes=[(2.5, 2.5, 27.5, 27.5)]), small) == 0


def test_point_l1_counts_pairs_less_than_thirty_px_apart(true, said):
    truth = true(boxes=[A, B], points=[(50, 50), (250, 300)])
    assert score('point_l1', said(points=[(250, 300), (50, 50)]), truth) == 1
    assert score('point_l1', said(points=[(64, 65), (250, 300)]), truth) == 1  # 14 + 15 = 29
    assert score('point_l1', said(points=[(65, 65), (250, 300)]), truth) == 1 / 2  # 15 + 15 = 30
    # 420 px wide and 840 high: a px in x counts twice
    narrow = true(boxes=[(0, 0, 100, 100)], size=(420, 840))
    assert score('point_l1', said(points=[(64.9, 50)]), narrow) == 1
    assert score('point_l1', said(points=[(65, 50)]), narrow) == 0


def test_point_in_mask_counts_pairs_whose_point_lies_on_the_mask(true, said):
    truth = true(boxes=[A, B])
    assert score('point_in_mask', said(points=[(200, 399.5), (99.9, 0)]), truth) == 1
    assert score('point_in_mask', said(points=[(100, 0), (250, 300)]), truth) == 1 / 2  # px 100 is behind the edge
    assert score('point_in_mask', said(points=[(50, 50), (51, 50)]), truth) == 1 / 2  # both on one mask
    for outside in ((-0.1, 50), (50, -1), (1e6, 50), (50, 840), (-1e6, -1e6)):
        assert score('point_in_mask', said(points=[outside]), truth) == 0


def test_count_and_format(true, said):
    truth = true(boxes=[A, B])
    assert [score('count', said(boxes=[A] * n), truth) for n in range(4)] == [0, 0, 1, 0]
    assert score('format', said(boxes=[A]), truth) == score('format', (), truth) == 1


@pytest.mark.parametrize('name', ['box_iou', 'box_l1', 'point_l1', 'point_in_mask', 'count'])
def test_where_nothing_is_an_answer_without_objects_is_right(true, said, name):
    nothing, something = true(), true(boxes=[A])
    answer = said(boxes=[A], points=[(50, 50)])[:1] if 'box' in name else said(points=[(50, 50)])
    assert score(name, (), nothing) == 1
    assert score(name, answer, nothing) == 0
    assert score(name, (), something) == 0
    assert score(name, answer, something) == 1


def test_an_object_without_a_place_fits_nothing(true):
    answer = (AnsweredObject(phrase='a'), AnsweredObject(box=A, point=(50, 50)))
    truth = true(boxes=[A])
    assert [score(name, answer, truth) for name in ('box_iou', 'box_l1', 'point_l1', 'point_in_mask')] == [1 / 2] * 4
    assert [score(name, answer[:1], truth) for name in ('box_iou', 'point_in_mask')] == [0, 0]


def test_matching_is_best_together_not_one_after_the_other():
    # whoever takes the best pair first, 0.9, is left with 0: 0.8 + 0.7 is more
    assert one_to_one(np.array([[0.9, 0.8], [0.7, 0.0]])) == pytest.approx((0.8 + 0.7) / 2)
    assert one_to_one(np.zeros((0, 0))) == 1
    assert one_to_one(np.zeros((0, 3))) == one_to_one(np.zeros((3, 0))) == 0


def test_matching_equals_the_best_of_all_permutations():
    rng = np.random.default_rng(0)
    for _ in range(50):
        k, n = rng.integers(1, 5, size=2)
        scores = rng.random((k, n))
        wide = scores if k <= n else scores.T
        best = max(
            sum(wide[i, j] for i, j in enumerate(chosen))
            for chosen in itertools.permutations(range(wide.shape[1]), wide.shape[0])
        )
        assert one_to_one(scores) == pytest.approx(best / max(k, n))


def test_box_ious_of_overlapping_apart_and_equal_boxes():
    found = box_ious([A, (50, 50, 150, 150)], [A, (500, 500, 501, 501)])
    np.testing.assert_allclose(found, [[1, 0], [2500 / 17500, 0]])


def test_rewards_are_bounded_and_do_not_depend_on_the_order(true):
    rng = np.random.default_rng(1)

    def boxes(number):
        corners = rng.integers(0, 700, size=(number, 2))
        return [(*map(int, corner), *map(int, corner + rng.integers(1, 140, size=2))) for corner in corners]

    for _ in range(60):
        there = boxes(rng.integers(0, 5))
        # some of what is there, moved a little, and others
        seen = [tuple(n + rng.uniform(-12, 12) for n in box) for box in there if rng.random() < 0.7]
        seen = [box for box in seen if box[0] < box[2] and box[1] < box[3]] + boxes(rng.integers(0, 3))
        answer = tuple(AnsweredObject(box=box, point=(np.mean(box[::2]), np.mean(box[1::2]))) for box in seen)
        mixed = tuple(answer[i] for i in rng.permutation(len(answer)))
        truth, mixed_truth = true(boxes=there), true(boxes=[there[i] for i in rng.permutation(len(there))])
        for name in ('box_iou', 'box_l1', 'point_l1', 'point_in_mask', 'count', 'format'):
            found = score(name, answer, truth)
            assert 0 <= found <= 1, name
            assert score(name, mixed, mixed_truth) == found, name


def test_rewards_and_their_weights_are_chosen_by_name():
    json_format, tokens = ANSWER_FORMATS['json_in_tags'], ANSWER_FORMATS['location_tokens']
    chosen = chosen_rewards(['format=0.5', 'box_iou', 'count=-2e-1'], answer_format=json_format)
    assert chosen == {'format': 0.5, 'box_iou': 1.0, 'count': -0.2}
    for texts, answer_format, message in (
        ([], json_format, 'no reward is named, expected some of format, box_iou'),
        (['iou'], json_format, "unknown reward 'iou', expected some of format, box_iou"),
        (['format', 'format=2'], json_format, "reward 'format' is named twice"),
        (['format=a'], json_format, "reward 'format=a' has the weight 'a', expected a number"),
        (['format='], json_format, "reward 'format=' has the weight '', expected a number"),
        (['format=nan'], json_format, "reward 'format=nan' has the weight nan, expected a finite number other than 0"),
        (['format=0'], json_format, 'has the weight 0, expected a finite number other than 0'),
        (['box_l1'], tokens, "reward 'box_l1' reads the box of an object, which the answer format does not write"),
    ):
        with pytest.raises(ValueError, match=message):
            chosen_rewards(texts, answer_format=answer_format)
