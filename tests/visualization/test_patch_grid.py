import warnings

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from flmm.apt.layout import TokenLayout
from flmm.visualization.patch_grid import COLORS, DARK, TINT, draw_selection, draw_tokens, rebuild_image

U = 14  # px of a unit


def mixed_layout(h=6, w=7):
    """One token of size 4, two of size 2, the rest of size 1."""
    coarse = [(0, 0, 4), (0, 4, 2), (4, 2, 2)]
    covered = {
        (row, column) for top, left, s in coarse for row in range(top, top + s) for column in range(left, left + s)
    }
    fine = [(row, column, 1) for row in range(h) for column in range(w) if (row, column) not in covered]
    layout = TokenLayout(tokens=torch.tensor(sorted(coarse + fine)), grid_size=(h, w))
    layout.check()
    return layout


def random_image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def patches_of(image, layout, m):
    """Patches token by token, each the area mean of its square; plain loops in float64."""
    u = image.shape[0] // layout.grid_size[0]
    side = u // m
    patches = []
    for top, left, s in layout.tokens.tolist():
        for row in range(m):
            for column in range(m):
                y, x = top * u + row * side * s, left * u + column * side * s
                square = image[y : y + side * s, x : x + side * s].astype(np.float64)
                patches.append(square.reshape(side, s, side, s, 3).mean(axis=(1, 3)))
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float()


def drawn_selection(layout, image, *, m=1, **kwargs):
    h, w = (side * m for side in layout.grid_size)
    maps = {14 * s: torch.rand(-(-h // s), -(-w // s), generator=torch.Generator().manual_seed(s)) for s in (1, 2, 4)}
    given = {'importance_maps': maps, 'method': 'entropy', 'title': 'photo.jpg', 'settings': 'budget, alpha 0.3'}
    return draw_selection(image, layout, patches=patches_of(image, layout, m), **given | kwargs)


def rendered(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


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


@pytest.mark.parametrize(
    'grid_size',
    [
        pytest.param((36, 46), id='photo'),
        pytest.param((4, 40), id='panorama'),
        pytest.param((45, 3), id='tall'),
        pytest.param((8, 9), id='small'),
    ],
)
def test_pictures_are_shown_pixel_for_pixel(grid_size):
    h, w = grid_size
    layout, image = mixed_layout(h, w) if min(h, w) > 5 else TokenLayout.dense(grid_size), random_image(h * U, w * U)
    zoom = 5 if grid_size == (8, 9) else 1  # 126 px are shown as 630
    large, read = (
        picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
        for picture in (image, rebuild_image(patches_of(image, layout, 1), layout))
    )
    figure = drawn_selection(layout, image)
    page = rendered(figure)
    for axis, picture in zip(figure.axes, [draw_tokens(large, layout), read], strict=False):
        box = axis.get_window_extent()
        left, top = round(box.x0), len(page) - round(box.y1)
        np.testing.assert_array_equal(page[top : top + large.shape[0], left : left + large.shape[1]], picture)


def test_words_of_the_figure():
    image = random_image(6 * 28, 7 * 28)
    figure = drawn_selection(mixed_layout(), image, m=2, thresholds={28: 0.25, 56: 0.5}, title='price $5_$.jpg')
    rendered(figure)  # the dollar signs are no formula
    assert figure.texts[0].get_text() == 'price $5_$.jpg\nbudget, alpha 0.3: 21 of 42 tokens kept (50.0%)'
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        '28 px (2x2 patches of 14 px): 18', '56 px (2x2 patches of 28 px): 2', '112 px (2x2 patches of 56 px): 1',
    ]  # fmt: skip
    assert [axis.get_title(loc='left') for axis in figure.axes] == [
        'tokens', 'what the model reads', 'importance of 14 px patches',
        'importance of 28 px patches, coarse below 0.25', 'importance of 56 px patches, coarse below 0.5',
    ]  # fmt: skip


def test_legend_without_merging():
    figure = drawn_selection(mixed_layout(), random_image(6 * U, 7 * U))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['14 px: 18', '28 px: 2', '56 px: 1']


@pytest.mark.parametrize(
    ('method', 'unit'),
    [('entropy', 'bits'), ('laplacian', 'grey levels'), ('upsample_mse', 'squared grey levels')],
)
def test_heat_maps(method, unit):
    maps = {size: torch.rand(rows, columns) for size, rows, columns in [(14, 6, 7), (28, 3, 4), (56, 2, 2)]}
    maps[56][1, 0] = torch.inf
    figure = drawn_selection(
        mixed_layout(), random_image(6 * U, 7 * U), importance_maps=maps, method=method, thresholds={28: 9.0}
    )
    for axis, size in zip(figure.axes[2:], maps, strict=True):
        heat = axis.get_images()[0]
        values = maps[size].numpy()
        np.testing.assert_array_equal(heat.get_array().filled(np.inf), values)
        rows, columns = values.shape
        assert heat.get_extent() == [0, columns * size, rows * size, 0]
        assert axis.get_xlim() == (0, 7 * U)  # what sticks out of the image is cut off
        assert axis.get_ylim() == (6 * U, 0)
        highest = 9.0 if size == 28 else values[np.isfinite(values)].max()  # the threshold's mark lies on the bar
        assert heat.get_clim() == (0, pytest.approx(highest))
        bar = axis.child_axes[0]
        assert bar.get_xlabel() == unit
        assert bar.get_xlim() == (0, pytest.approx(highest))
        assert [line.get_xdata()[0] for line in bar.lines if line.get_linewidth() == 3] == ([9.0] if size == 28 else [])


@pytest.mark.parametrize('value', [0.0, torch.inf])
def test_maps_without_a_range_can_be_drawn(value):
    maps = {14: torch.zeros(6, 7), 28: torch.zeros(3, 4), 56: torch.full((2, 2), value)}
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        rendered(drawn_selection(mixed_layout(), random_image(6 * U, 7 * U), importance_maps=maps))


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
