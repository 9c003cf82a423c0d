"""Curves of what was logged of trainings: a panel for each key, in it a line for each run."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from flmm.run_series import Series, smoothed
from flmm.visualization.mask_layer import colour_of
from flmm.visualization.text import TextFigure, text_style

PANEL_WIDTH, PANEL_HEIGHT, LEGEND_HEIGHT = 3.8, 2.4, 0.25
"""In inches; the last for each run."""
FONT_SIZE = 8
MOST_MARKED = 30
"""A line of up to so many values has a dot at each."""


def draw_curves(runs: Mapping[str, Series], *, keys: Sequence[str], smooth: int = 1) -> Figure:
    """Draw what was logged under ``keys`` over the iterations.

    Args:
        runs: name -> its series (:func:`flmm.run_series.read_series`).
        keys: a panel for each; a run that lacks one has no line in it.
        smooth: lines are means over so many logged values (:func:`flmm.run_series.smoothed`), with the values
            themselves pale behind them; 1 draws the values.
    """
    columns = math.ceil(math.sqrt(len(keys)))
    rows = math.ceil(len(keys) / columns)
    size = (PANEL_WIDTH * columns, PANEL_HEIGHT * rows + LEGEND_HEIGHT * len(runs))
    figure = TextFigure(figsize=size, layout='constrained', facecolor='white')
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes[len(keys) :]:
        axis.set_axis_off()
    lines = {}
    for axis, key in zip(axes, keys, strict=False):
        axis.set_title(key, fontsize=FONT_SIZE, loc='left', **text_style(key))
        axis.tick_params(labelsize=FONT_SIZE)
        axis.yaxis.get_offset_text().set_fontsize(FONT_SIZE)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        for index, (name, series) in enumerate(runs.items()):
            steps, values = list(series.get(key, {})), list(series.get(key, {}).values())
            style = {'color': np.divide(colour_of(index), 255), 'linewidth': 1.2}
            if smooth > 1:
                axis.plot(steps, values, **{**style, 'linewidth': 0.6, 'alpha': 0.35})
            marker = '.' if len(steps) <= MOST_MARKED else None
            (lines[name],) = axis.plot(steps, smoothed(values, window=smooth), marker=marker, **style)
    figure.supxlabel('iteration', fontsize=FONT_SIZE)
    legend = figure.legend(list(lines.values()), list(lines), loc='outside lower left', fontsize=FONT_SIZE)
    for text in legend.get_texts():
        style = text_style(text.get_text())
        text.set_parse_math(style['parse_math'])
        text.set_fontfamily(style['fontfamily'])
    return figure
