"""Pictures of an adaptive selection: tokens over the image, what the model reads of it, how important each patch is.

Letters: T tokens of an image, (h, w) its grid in units, m merge_size, P the side of the patches that the model reads
(14 px), u the side of a unit (m * P), s the size of a token, (H, W) = (h * u, w * u) the processed image in px.
"""

import math

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from flmm.apt.layout import SIZES, TokenLayout

COLORS = {1: (70, 230, 255), 2: (255, 215, 0), 4: (255, 60, 150)}
"""RGB of the outlines for each size of token."""

# For each method what it counts, and the exponent of the colour scale: most squares are small beside the largest.
IMPORTANCE_SCALES = {
    'entropy': ('bits', 1.0),
    'laplacian': ('grey levels', 1.0),
    'upsample_mse': ('squared grey levels', 0.5),
}

# Line widths in px. A token of size 1 shares its lines with its neighbours; a coarse one has a tint and a frame of its
# own, which a dark line sets off from pixels of the same colour.
FRAME = {1: 1, 2: 3, 4: 4}
DARK = (20, 20, 20)
TINT = 0.18

# Layout of the figure in px. Pictures are shown pixel for pixel: resampled, one-pixel outlines would beat.
DPI = 100
MARGIN, GAP, HEADER, CAPTION, COLORBAR = 16, 20, 84, 30, 52
USUAL_PICTURE, NARROWEST_SLOT, NARROWEST_FIGURE = 640, 240, 880


def draw_tokens(image: np.ndarray, layout: TokenLayout) -> np.ndarray:
    """Outline the tokens of ``layout`` over ``image``, each size in its colour; coarse ones are tinted, too.

    Args:
        image: [H, W, 3] uint8, a whole number of px for each unit of the layout; enlarge it for wider cells.
        layout: as it comes from the selection, on any device.

    Returns:
        [H, W, 3] uint8.

    Raises:
        ValueError: an image of another type, or whose size doesn't fit the layout.
    """
    u = _unit_side(image, layout)
    tokens = layout.tokens.cpu()
    dense = TokenLayout(tokens=tokens, grid_size=layout.grid_size).to_dense(tokens.T, mode='copy')
    top, left, size = dense.numpy().astype(np.int32).repeat(u, axis=1).repeat(u, axis=2)
    row, column = np.indices(image.shape[:2], sparse=True, dtype=np.int32)
    row, column = row - top * u, column - left * u  # within the token
    coarse = size > 1
    # Distance to the token's border in px; the lower and right border of a token of size 1 are its neighbours'.
    border = np.minimum(row, column)
    np.minimum(border, size * u - 1 - np.maximum(row, column), out=border, where=coarse)
    colors, frames = np.zeros((max(SIZES) + 1, 3), np.float32), np.zeros(max(SIZES) + 1, np.int32)
    for s in SIZES:
        colors[s], frames[s] = COLORS[s], FRAME[s]
    opacity = np.where(border < frames[size], np.float32(1), TINT * coarse.astype(np.float32))[..., None]
    drawn = np.rint(image * (1 - opacity) + colors[size] * opacity).astype(np.uint8)
    drawn[coarse & (border == 0)] = DARK
    return drawn


def rebuild_image(patches: Tensor, layout: TokenLayout) -> np.ndarray:
    """Paint what the model reads: each token's patches, enlarged to the square that they were brought down from.

    Args:
        patches: [T * m * m, 3, P, P], 0..255, in order of the layout, as ``PatchTokenizer`` returns them.
        layout: where they lie.

    Returns:
        [H, W, 3] uint8.

    Raises:
        ValueError: another number of patches than 1 or 4 for each token.
    """
    m = math.isqrt(len(patches) // len(layout))
    if len(patches) != m**2 * len(layout):
        raise ValueError(f'{len(patches)} patches do not make {len(layout)} tokens of m x m patches each')
    (h, w), u = layout.grid_size, m * patches.shape[-1]
    tiles = patches.detach().round().clamp(0, 255).to(torch.uint8)
    tiles = tiles.unflatten(0, (len(layout), m, m)).permute(0, 1, 4, 2, 5, 3).reshape(-1, u, u, 3)
    image = tiles.new_zeros(h * u, w * u, 3)
    for s in SIZES:
        chosen = layout.tokens[:, 2] == s
        top, left = layout.tokens[chosen, :2].mul(u).T[..., None, None]
        within = torch.arange(s * u, device=tiles.device)
        painted = tiles[chosen].repeat_interleave(s, 1).repeat_interleave(s, 2)
        image[top + within[:, None], left + within] = painted
    return image.cpu().numpy()


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
        patches: [T * m * m, 3, P, P] in 0..255 as in :func:`rebuild_image`.
        importance_maps: patch size in px -> [rows, columns]; grey where infinite (a patch that sticks out).
        method: what importance is: 'entropy', 'laplacian' or 'upsample_mse'.
        title: first line, such as the name of the image.
        settings: how it was selected; the second line says so, and how many tokens are kept.
        thresholds: patch size -> importance below which it is read coarsely; marked at the colour bar.

    Returns:
        A figure that shows the processed image pixel for pixel (a small one enlarged) when saved as it is.

    Raises:
        ValueError: image or patches don't fit the layout.
    """
    u = _unit_side(image, layout)
    m = math.isqrt(len(patches) // len(layout))
    zoom = max(1, round(USUAL_PICTURE / max(image.shape[:2])))
    large = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
    pictures = {
        'tokens': draw_tokens(large, layout),
        'what the model reads': rebuild_image(patches, layout).repeat(zoom, axis=0).repeat(zoom, axis=1),
    }
    figure, axes = _empty_figure(*large.shape[:2], num_maps=len(importance_maps))
    width, height = figure.get_size_inches() * DPI
    figure.text(
        MARGIN / width,
        1 - MARGIN / height,
        f'{title}\n{settings}: {_kept(layout)}',
        va='top',
        fontsize=10.5,
        linespacing=1.4,
        parse_math=False,  # a file name may hold dollar signs
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


def _unit_side(image: np.ndarray, layout: TokenLayout) -> int:
    h, w = layout.grid_size
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'image is {image.shape} {image.dtype}, expected (height, width, 3) uint8')
    u = image.shape[0] // h
    if u == 0 or image.shape[:2] != (h * u, w * u):
        raise ValueError(
            f'image of {image.shape[0]}x{image.shape[1]} px (height x width) does not fit a layout of {h}x{w} units; '
            'pass it at the processed size'
        )
    return u


def _kept(layout: TokenLayout) -> str:
    dense = layout.grid_size[0] * layout.grid_size[1]
    return f'{len(layout):,} of {dense:,} tokens kept ({len(layout) / dense:.1%})'


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
    figure = Figure(figsize=(total_width / DPI, total_height / DPI), dpi=DPI)
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
