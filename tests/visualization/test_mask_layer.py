"""A mask over a picture, against a loop over pixels, and the colours."""

import numpy as np
import pytest

from flmm.visualization import colour_of, mask_layer
from flmm.visualization.mask_layer import OPACITY, PALETTE, SELECTED, edge_distance


def steps_out(mask, row, column):
    """How many steps of a king lead out of the mask; the board ends at the border."""
    for steps in range(1, max(mask.shape) + 1):
        for y in range(row - steps, row + steps + 1):
            for x in range(column - steps, column + steps + 1):
                if not (0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]) or not mask[y, x]:
                    return steps
    raise AssertionError


@pytest.mark.parametrize(('shape', 'line'), [((20, 30), 1), ((24, 800), 2)])
def test_every_pixel_of_a_layer(shape, line):
    mask = np.zeros(shape, dtype=bool)
    mask[2:15, 5:25] = True
    mask[10:, 18:28] = True  # up to the border
    mask[5, 1] = True
    pixels = np.asarray(mask_layer(mask, (10, 200, 30)).convert('RGBA'))
    expected = np.zeros((*shape, 4), dtype=int)
    for row, column in np.argwhere(mask):
        steps = steps_out(mask, row, column)
        assert edge_distance(mask)[row, column] == steps
        if steps <= line:
            expected[row, column] = (10, 200, 30, 255)
        elif steps <= 2 * line:
            expected[row, column] = (255, 255, 255, 255)
        else:
            expected[row, column] = (10, 200, 30, 128)
    assert len(np.unique(expected[mask], axis=0)) == 3
    np.testing.assert_array_equal(pixels[mask], expected[mask])
    assert (pixels[~mask][:, 3] == 0).all()
    assert round(255 * OPACITY) == 128


def test_an_empty_mask_is_transparent():
    mask = np.zeros((6, 9), dtype=bool)
    assert (np.asarray(mask_layer(mask, (1, 2, 3)).convert('RGBA'))[..., 3] == 0).all()
    assert (edge_distance(mask) == 0).all()


def test_every_mask_has_a_colour_of_its_own():
    colours = [colour_of(index) for index in range(200)]
    assert colours[: len(PALETTE)] == list(PALETTE)
    assert len({*colours, SELECTED}) == 201
    steps = np.abs(np.diff(colours[:64], axis=0)).max(axis=1)
    assert steps.min() > 60  # neighbours are far from each other
