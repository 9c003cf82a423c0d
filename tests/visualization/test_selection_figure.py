import warnings

import numpy as np
import pytest
import torch
from layout_pictures import mixed_layout, patches_of, random_image
from matplotlib.backends.backend_agg import FigureCanvasAgg

from flmm.apt.layout import TokenLayout
from flmm.visualization.patch_grid import draw_tokens, rebuild_image
from flmm.visualization.selection_figure import draw_selection

U = 14  # px of a unit


def drawn_selection(layout, image, *, m=1, **kwargs):
    h, w = (side * m for side in layout.grid_size)
    maps = {14 * s: torch.rand(-(-h // s), -(-w // s), generator=torch.Generator().manual_seed(s)) for s in (1, 2, 4)}
    given = {'importance_maps': maps, 'method': 'entropy', 'title': 'photo.jpg', 'settings': 'budget, alpha 0.3'}
    return draw_selection(image, layout, patches=patches_of(image, layout, m), **given | kwargs)


def rendered(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


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


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('name', ['图片' * 300, 'photo_' * 300, 'a\ud83d\n' * 300])
def test_a_long_title_ends_within_the_figure(name):
    figure = drawn_selection(mixed_layout(), random_image(6 * U, 7 * U), title=name)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert figure.texts[0].get_window_extent(canvas.get_renderer()).x1 <= figure.bbox.x1
    title, settings = figure.texts[0].get_text().split('\n')
    assert title.endswith('…')
    assert settings == 'budget, alpha 0.3: 21 of 42 tokens kept (50.0%)'


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
        figure = drawn_selection(mixed_layout(), random_image(6 * U, 7 * U), importance_maps=maps)
        assert rendered(figure).std() > 0
