import numpy as np
import pytest
import torch
from layout_pictures import mixed_layout, patches_of, random_image

from flmm.apt.layout import TokenLayout
from flmm.visualization.patch_grid import COLORS, DARK, TINT, draw_tokens, rebuild_image

U = 14  # px of a unit


def test_tokens_against_plain_loops():
    layout, image = mixed_layout(), random_image(6 * U, 7 * U)
    width = {1: 1, 2: 3, 4: 4}
    expected = image.astype(np.float64)
    for top, left, s in layout.tokens.tolist():
        for row in range(s * U):
            for column in range(s * U):
                pixel = expected[top * U + row, left * U + column]
                border = min(row, column) if s == 1 else min(row, column, s * U - 1 - row, s * U - 1 - column)
                if s > 1 and border == 0:
                    pixel[:] = DARK
                elif border < width[s]:
                    pixel[:] = COLORS[s]
                elif s > 1:
                    pixel[:] = (1 - TINT) * pixel + TINT * np.array(COLORS[s])

    drawn = draw_tokens(image, layout)

    assert drawn.dtype == np.uint8
    np.testing.assert_allclose(drawn, expected, atol=0.51)


def test_a_dense_layout_is_a_grid_of_single_lines():
    image = random_image(4 * U, 5 * U)
    drawn = draw_tokens(image, TokenLayout.dense((4, 5)))
    lines = np.zeros((4 * U, 5 * U), dtype=bool)
    lines[::U] = lines[:, ::U] = True
    np.testing.assert_array_equal(drawn[~lines], image[~lines])
    assert (drawn[lines] == COLORS[1]).all()


def test_the_image_is_left_as_it_is():
    image = random_image(6 * U, 7 * U)
    before = image.copy()
    draw_tokens(image, mixed_layout())
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize('m', [1, 2])
def test_rebuilt_image_against_plain_loops(m):
    layout, u = mixed_layout(), 6 * m  # patches of 6 px
    image = random_image(6 * u, 7 * u)
    expected = np.zeros(image.shape)
    for top, left, s in layout.tokens.tolist():
        for y in range(top * u, (top + s) * u, s):
            for x in range(left * u, (left + s) * u, s):
                expected[y : y + s, x : x + s] = image[y : y + s, x : x + s].mean(axis=(0, 1))

    rebuilt = rebuild_image(patches_of(image, layout, m), layout)

    assert rebuilt.dtype == np.uint8
    np.testing.assert_allclose(rebuilt, expected, atol=0.51)


@pytest.mark.parametrize('m', [1, 2])
def test_a_dense_layout_rebuilds_the_image_itself(m):
    image, layout = random_image(3 * 14 * m, 4 * 14 * m), TokenLayout.dense((3, 4))
    np.testing.assert_array_equal(rebuild_image(patches_of(image, layout, m), layout), image)


@pytest.mark.parametrize('shape', [(6 * U, 7 * U - 1), (6 * U, 6 * U), (5, 7)])
def test_image_that_does_not_fit(shape):
    with pytest.raises(
        ValueError, match=rf'image of {shape[0]}x{shape[1]} px .* a layout of 6x7 units; pass it at the'
    ):
        draw_tokens(random_image(*shape), mixed_layout())


@pytest.mark.parametrize(
    'image', [np.zeros((84, 98, 3)), np.zeros((84, 98), np.uint8), np.zeros((84, 98, 4), np.uint8)]
)
def test_image_of_another_type(image):
    with pytest.raises(ValueError, match=r'image is \(84, 98.*expected \(height, width, 3\) uint8'):
        draw_tokens(image, mixed_layout())


def test_patches_that_do_not_fit():
    with pytest.raises(ValueError, match='22 patches do not make 21 tokens of m x m patches each'):
        rebuild_image(torch.zeros(22, 3, 14, 14), mixed_layout())
