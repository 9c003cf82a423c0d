import numpy as np
from matplotlib.colors import to_hex

from flmm.visualization import draw_curves, figure_pixels

RUNS = {
    'one': {'loss': {20: 4.0, 40: 2.0, 60: 6.0}, 'lr': {20: 0.1, 40: 0.05}},
    'two': {'loss': {30: 1.0}, 'a_b$/mIoU': {60: 50.0}},
}


def lines(axis):
    data = [(list(line.get_xdata()), list(line.get_ydata())) for line in axis.get_lines()]
    return [(steps, values) for steps, values in data if steps]


def test_a_panel_for_each_key_with_a_line_for_each_run():
    figure = draw_curves(RUNS, keys=['loss', 'lr', 'a_b$/mIoU'])
    panels = {axis.get_title(loc='left'): axis for axis in figure.axes if axis.get_title(loc='left')}
    assert list(panels) == ['loss', 'lr', 'a_b$/mIoU']
    assert lines(panels['loss']) == [([20, 40, 60], [4.0, 2.0, 6.0]), ([30], [1.0])]
    assert lines(panels['lr']) == [([20, 40], [0.1, 0.05])]
    assert lines(panels['a_b$/mIoU']) == [([60], [50.0])]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ['one', 'two']
    colours = [to_hex(line.get_color()) for line in panels['loss'].get_lines()]
    assert colours == [to_hex(line.get_color()) for line in legend.get_lines()]
    assert len(set(colours)) == 2


def test_smoothed_lines_lie_over_the_values():
    (axis, *_) = draw_curves({'one': RUNS['one']}, keys=['loss'], smooth=2).axes
    assert lines(axis) == [([20, 40, 60], [4.0, 2.0, 6.0]), ([20, 40, 60], [4.0, 3.0, 4.0])]


def test_the_picture_has_room_for_all_panels():
    figure = draw_curves({'one': RUNS['one']}, keys=['loss', 'lr'])
    pixels = figure_pixels(figure)
    assert pixels.shape == (265, 760, 3)
    drawn = (pixels != 255).any(axis=2)
    assert drawn[:, :380].any()
    assert drawn[:, 380:].any()
    assert np.array_equal(pixels[0, 0], [255, 255, 255])
