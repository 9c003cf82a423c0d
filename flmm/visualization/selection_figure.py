"""The figure of an adaptive selection: tokens, what the model reads of the image, how important each patch is.

Letters: T tokens of an image, m merge_size, P the side of the patches that the model reads in px, u the side
of a unit (m * P), s the size of a token, (H, W) the processed image in px.
"""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from flmm.apt.layout import SIZES, TokenLayout
from flmm.visualization.patch_grid import COLORS, draw_tokens, rebuild_image, unit_side
from flmm.visualization.text import TextFigure, fit_text, text_style

# For each method what it counts, and the exponent of the colour scale: most squares are small beside the largest.
IMPORTANCE_SCALES = {
    'entropy': ('bits', 1.0),
    'laplacian': ('grey levels', 1.0),
    'upsample_mse': ('squared grey levels', 0.5),
}

# Layout of the figure in px. Pictures are shown pixel for pixel: resampled, one-pixel outlines would beat.
DPI = 100
TITLE_SIZE = 10.5
MARGIN, GAP, HEADER, CAPTION, COLORBAR = 16, 20, 84, 30, 52
USUAL_PICTURE, NARROWEST_SLOT, NARROWEST_FIGURE = 640, 240, 880


def draw_selection(
    image: np.ndarray,
    layout: TokenLayout,
    *,
    patches: Tensor,
    importance_maps: dict[int, Tensor],
    method: str,
    title: str,
    settings: str,
    thresholds: dict[int, float] | None = None,
) -> Figure:
    """Draw the selection for one image: tokens, what the model reads, and a heat map of importance for each patch size.

    Args:
        image: [H, W, 3] uint8 at the processed size.
        layout: its tokens.
        patches: [T * m * m, 3, P, P] in 0..255 as in :func:`flmm.visualization.patch_grid.rebuild_image`.
        importance_maps: patch size in px -> [rows, columns]; grey where infinite (a patch that sticks out).
        method: what importance is: 'entropy', 'laplacian' or 'upsample_mse'.
        title: first line, such as the name of the image; shortened where the figure is too narrow for it.
        settings: how it was selected; the second line says so, and how many tokens are kept.
        thresholds: patch size -> importance below which it is read coarsely; marked at the colour bar.

    Returns:
        A figure that shows the processed image pixel for pixel (a small one enlarged) when saved as it is.

    Raises:
        ValueError: image or patches don't fit the layout.
    """
    u = unit_side(image, layout)
    m = math.isqrt(len(patches) // len(layout))
    zoom = max(1, round(USUAL_PICTURE / max(image.shape[:2])))
    large = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
    pictures = {
        'tokens': draw_tokens(large, layout),
        'what the model reads': rebuild_image(patches, layout).repeat(zoom, axis=0).repeat(zoom, axis=1),
    }
    figure, axes = _empty_figure(*large.shape[:2], num_maps=len(importance_maps))
    width, height = figure.get_size_inches() * DPI
    header = fit_text(title, width=(width - 2 * MARGIN) / DPI, fontsize=TITLE_SIZE)
    num_dense = math.prod(layout.grid_size)
    figure.text(
        MARGIN / width,
        1 - MARGIN / height,
        f'{header}\n{settings}: {len(layout):,} of {num_dense:,} tokens kept ({len(layout) / num_dense:.1%})',
        va='top',
        fontsize=TITLE_SIZE,
        linespacing=1.4,
        **text_style(header),
    )
    figure.legend(
        handles=[
            Patch(facecolor=np.divide(COLORS[s], 255), edgecolor='0.3', label=_legend_line(layout, s, u, m))
            for s in SIZES
        ],
        loc='upper left',
        bbox_to_anchor=(MARGIN / width, 1 - 66 / height),
        ncols=len(SIZES),
        fontsize=9.5,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
    )
    for axis, (caption, picture) in zip(axes, pictures.items(), strict=False):
        axis.imshow(picture, interpolation='nearest')
        axis.set_title(caption, fontsize=9.5, loc='left')
        axis.set_axis_off()
    for axis, size in zip(axes[len(pictures) :], sorted(importance_maps), strict=True):
        _draw_importance(axis, importance_maps[size], size, method, (thresholds or {}).get(size))
        axis.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))
    return figure


def _legend_line(layout: TokenLayout, s: int, u: int, m: int) -> str:
    count = int((layout.tokens[:, 2] == s).sum())
    made_of = f' ({m}x{m} patches of {s * u // m} px)' if m > 1 else ''
    return f'{s * u} px{made_of}: {count:,}'


def _empty_figure(height: int, width: int, *, num_maps: int) -> tuple[Figure, list[Axes]]:
    """Two axes of exactly ``height`` x ``width`` px, and ``num_maps`` with place for a colour bar below them."""
    pictures, maps = ['picture'] * 2, ['map'] * num_maps
    if width > 2.5 * height:
        rows = [[panel] for panel in pictures + maps]
    elif height > 2.5 * width:
        rows = [pictures + maps]
    else:
        rows = [pictures, maps]
    across = len(rows[0])
    content = max(across * max(width, NARROWEST_SLOT) + (across - 1) * GAP, NARROWEST_FIGURE)
    places, top = [], HEADER
    for row in rows:
        slot = (content - (len(row) - 1) * GAP) // len(row)
        shown = min(width, slot)
        shown_height = round(height * shown / width)
        places += [(MARGIN + index * (slot + GAP), top + CAPTION, shown, shown_height) for index in range(len(row))]
        top += CAPTION + shown_height + (COLORBAR if 'map' in row else 0)
    total_width, total_height = content + 2 * MARGIN, top + MARGIN
    figure = TextFigure(figsize=(total_width / DPI, total_height / DPI), dpi=DPI)
    axes = [
        figure.add_axes((x / total_width, 1 - (y + h) / total_height, w / total_width, h / total_height))
        for x, y, w, h in places
    ]
    return figure, axes


def _draw_importance(axis: Axes, importance: Tensor, size: int, method: str, threshold: float | None) -> None:
    unit, exponent = IMPORTANCE_SCALES[method]
    values = importance.detach().cpu().numpy()
    rows, columns = values.shape
    # A flat map has no range of its own, and the mark of a threshold above all values must lie on the bar.
    highest = np.max(values, initial=threshold or 0, where=np.isfinite(values)) or 1
    axis.set_facecolor('0.6')
    heat = axis.imshow(
        np.ma.masked_invalid(values),
        cmap='inferno',
        norm=PowerNorm(exponent, vmin=0, vmax=highest),
        interpolation='nearest',
        extent=(0, columns * size, rows * size, 0),
    )
    rule = '' if threshold is None else f', coarse below {threshold:.3g}'
    axis.set_title(f'importance of {size} px patches{rule}', fontsize=9.5, loc='left')
    axis.set(xticks=[], yticks=[])
    height = axis.get_position().height * axis.figure.get_figheight() * DPI
    bar = axis.inset_axes((0, -16 / height, 1, 10 / height))
    axis.figure.colorbar(heat, cax=bar, orientation='horizontal', label=unit, ticks=MaxNLocator(5))
    bar.tick_params(labelsize=8)
    bar.xaxis.label.set(size=8)
    if threshold is not None:
        bar.axvline(threshold, color='tab:cyan', linewidth=3)
