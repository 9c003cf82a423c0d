"""J and F: by hand, and against a plain implementation that goes from pixel to pixel."""

import time

import numpy as np
import pytest
from plain_davis import plain_accuracy, plain_contour, plain_region

from flmm.scoring import contour_accuracy, region_similarity
from flmm.scoring.region_and_contour import contour, contour_accuracies, tolerance_in_px


def box(height, width, top, bottom, left, right):
    mask = np.zeros((height, width), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def test_regions_by_hand():
    empty, one, other = box(10, 10, 0, 0, 0, 0), box(10, 10, 0, 4, 0, 5), box(10, 10, 2, 6, 0, 5)
    assert region_similarity(np.stack([empty, one, empty, one, one]), np.stack([empty, empty, one, one, other])) == (
        pytest.approx([1, 0, 0, 1, 10 / 30], rel=1e-15)
    )


def test_a_contour_by_hand():
    """A square of 2 x 2 px: its contour is half a pixel up and left of its border."""
    assert contour(box(5, 5, 2, 4, 2, 4)).astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 0, 1, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0],
    ]
    # at the edge of the picture: there is nothing beyond it to differ from
    assert contour(box(3, 3, 1, 3, 1, 3)).astype(int).tolist() == [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
    assert not contour(np.ones((4, 6), dtype=bool)).any()


def test_tolerances_by_hand():
    assert tolerance_in_px(480, 854) == 8  # 0.008 * 979.66 = 7.84
    assert tolerance_in_px(720, 1280) == 12  # 0.008 * 1468.6 = 11.75
    assert tolerance_in_px(100, 75) == 1  # 0.008 * 125 = 1, not rounded up
    assert tolerance_in_px(10, 10) == 1


def test_contours_by_hand():
    """Pictures of 30 x 40 px: a tolerance of 0.4 px, rounded up to 1."""
    truth, empty = box(30, 40, 10, 20, 10, 20), box(30, 40, 0, 0, 0, 0)
    shifted = [box(30, 40, 10, 20, 10 + by, 20 + by) for by in (1, 2, 20)]
    whole = np.ones_like(truth)
    predicted = [empty, empty, truth, whole, whole, truth, *shifted]
    truths = [empty, truth, empty, empty, truth, *[truth] * 4]
    # 40 pixels of contour: the edge of a square of 11 x 11. By 2 px to the right, 10 of the 11 pixels of its upper and
    # lower side lie within 1 px of the other one, and of those between the two that are next to these sides
    assert contour(truth).sum() == 40
    assert contour_accuracy(np.stack(predicted), np.stack(truths)) == pytest.approx(
        [1, 0, 0, 1, 0, 1, 1, 22 / 40, 0], rel=1e-15
    )


def test_precision_and_recall_by_hand():
    """A line of 10 px found, of a line of 20 px: all that is found is right, half of what is true is found."""
    truth, predicted = box(30, 40, 10, 30, 0, 20), box(30, 40, 10, 30, 0, 20)
    truth = np.zeros((30, 40), dtype=bool)
    truth[10:] = True  # its contour is row 9
    predicted = truth.copy()
    predicted[:, 20:] = False  # row 9 up to column 19, which goes on down
    found, true = set(plain_contour(predicted)), set(plain_contour(truth))
    assert true == {(9, x) for x in range(40)}
    assert found == {(9, x) for x in range(20)} | {(y, 19) for y in range(9, 30)}
    precision, recall = (20 + 1) / 40, (20 + 1) / 40  # and one pixel within 1 px of the corner: (10, 19), (9, 20)
    expected = 2 * precision * recall / (precision + recall)
    assert contour_accuracy(predicted, truth) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize('seed', range(6))
def test_against_the_plain_implementation(seed):
    rng = np.random.default_rng(seed)
    for _ in range(12):
        height, width = rng.integers(1, 24, size=2)
        if seed == 5:
            height, width = rng.integers(1, 4, size=2)
        masks = rng.random((2, height, width)) < rng.choice([0.03, 0.3, 0.7, 0.97])
        if rng.random() < 0.5:  # shapes instead of noise
            y, x = np.mgrid[:height, :width]
            centres, radii = rng.uniform(0, 24, size=(2, 2)), rng.uniform(1, 12, size=2)
            masks = np.stack(
                [(y - v) ** 2 + (x - u) ** 2 < radius**2 for (v, u), radius in zip(centres, radii, strict=True)]
            )
        predicted, truth = masks
        assert np.argwhere(contour(truth)).tolist() == [list(at) for at in plain_contour(truth)]
        assert region_similarity(predicted, truth) == pytest.approx(plain_region(predicted, truth), rel=1e-15)
        assert contour_accuracy(predicted, truth) == pytest.approx(plain_accuracy(predicted, truth), rel=1e-15)


@pytest.mark.parametrize('size', [(200, 300), (377, 5)])
def test_against_the_plain_implementation_with_a_wider_tolerance(size):
    rng = np.random.default_rng(size[0])
    assert tolerance_in_px(*size) >= 3
    predicted, truth = np.zeros((2, *size), dtype=bool)
    for _ in range(3):
        top, left = (int(rng.integers(0, side)) for side in size)
        for mask in (predicted, truth):
            down, right = rng.integers(0, 5, size=2)
            mask[top + down : top + size[0] // 8 + 1, left + right : left + size[1] // 8 + 1] = True
    assert plain_accuracy(predicted, truth) > 0
    assert contour_accuracy(predicted, truth) == pytest.approx(plain_accuracy(predicted, truth), rel=1e-15)


def test_all_pairs_are_scored_as_each_by_itself():
    rng = np.random.default_rng(7)
    predicted, truth = (
        np.stack([rng.random((13, 17)) < share for share in shares]) for shares in ((0, 0.2, 1), (0.1, 0))
    )
    assert contour_accuracies(predicted, truth).tolist() == [
        [contour_accuracy(one, other).item() for other in truth] for one in predicted
    ]


def test_shapes_of_arrays():
    masks = np.random.default_rng(0).random((2, 4, 3, 9, 7)) < 0.3
    for measure in (region_similarity, contour_accuracy):
        found = measure(*masks)
        assert found.shape == (4, 3)
        assert found.dtype == np.float64
        assert measure(*masks[:, 2, 1]).shape == ()
        assert found[2, 1] == measure(*masks[:, 2, 1])
        assert np.array_equal(found, measure(*masks[::-1]))  # both are symmetric


def test_thirty_frames_of_720p_take_seconds():
    y, x = np.mgrid[:720, :1280]
    masks = np.stack([(y - 360) ** 2 + (x - 600 - shift) ** 2 < 250**2 for shift in range(0, 60, 2)])
    start = time.perf_counter()
    contour_accuracy(masks, masks[::-1])
    assert time.perf_counter() - start < 20  # half a second, on a machine that is free
