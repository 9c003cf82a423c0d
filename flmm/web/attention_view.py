"""What some words attend to, as HTML: a grid with a map for each head, and one of them large over the image.

All maps lie in one picture, the sprite; page.css shows parts of it.
"""

from html import escape

import numpy as np
from matplotlib import colormaps
from PIL import Image

from flmm.grounder import AttentionMaps, ReadImage
from flmm.visualization import attention_map
from flmm.web.pictures import data_url, shown

MAP_SIDE = 64
"""Longest side of a map in px."""
SHADES = 64


def attention_view(read: ReadImage, words: str) -> str:
    """Draw the attention of words in every head that is run; those that the mask head reads are marked.

    Raises:
        ValueError: words that :meth:`flmm.grounder.ReadImage.ground` refuses.
    """
    attention = read.attention(words, all_heads=True)
    chosen = {(layer, head) for layer, heads in read.grounder.model.heads.items() for head in heads}
    views = 1 + max(view for view, _, _ in attention.channels)
    rows = sorted({channel[:2] for channel in attention.channels})
    heads = sorted({head for _, _, head in attention.channels})
    picture = shown(read.image)
    grey = picture.convert('L').convert('RGB')
    sprite = data_url(sprite_of(attention, read, rows=rows, heads=heads), 'PNG')
    lines = []
    for y, (view, layer) in enumerate(rows):
        name = f'layer {layer}' if views == 1 else f'view {view}, layer {layer}'
        cells = []
        for x, head in enumerate(heads):
            marked = ' flmm-read' if (layer, head) in chosen else ''
            marked += ' flmm-current' if x == y == 0 else ''
            cells.append(
                f'<button type="button" class="flmm-map{marked}" style="--x:{x};--y:{y}" title="{name}, head {head}" '
                f'data-map="{name}, head {head}"></button>'
            )
        lines.append(f'<div class="flmm-maps"><span>{name}</span>{"".join(cells)}</div>')
    read_count = sum((layer, head) in chosen for _, layer, head in attention.channels)
    caption = f'layer {rows[0][1]}, head {heads[0]}'
    return (
        f'<div class="flmm-attention" style="--sprite:url({sprite});--columns:{len(heads)};--rows:{len(rows)};'
        f'--ratio:{picture.width / picture.height:.4f}">'
        f'<div class="flmm-large" style="--x:0;--y:0"><img src="{data_url(grey)}" alt="">'
        f'<div class="flmm-heat"></div></div><p class="flmm-caption">{caption}</p>'
        f'<p>“{escape(words)}” in {len(attention.channels)} heads, each by its own scale. The mask head reads the '
        f'{read_count} with a frame; click one to see it large.</p>{"".join(lines)}</div>'
    )


def sprite_of(
    attention: AttentionMaps, read: ReadImage, *, rows: list[tuple[int, int]], heads: list[int]
) -> Image.Image:
    """Paint the maps into one picture: a row for each (view, layer) of ``rows``, a column for each of ``heads``.

    A map covers the image, without padding; its largest value is the lightest.
    """
    scale = MAP_SIDE / max(read.image.size)
    height, width = (max(1, round(side * scale)) for side in (read.image.height, read.image.width))
    meta_data = read.processed.views[-1].meta_data
    sprite = np.zeros((len(rows) * height, len(heads) * width), dtype=np.uint8)
    for (view, layer, head), grid in zip(attention.channels, attention.maps, strict=True):
        y, x = rows.index((view, layer)) * height, heads.index(head) * width
        heat = attention_map(grid[None], meta_data, (height, width))
        sprite[y : y + height, x : x + width] = np.round(heat * (SHADES - 1))
    picture = Image.fromarray(sprite, mode='P')
    colors = colormaps['inferno'](np.linspace(0, 1, SHADES), bytes=True)[:, :3]
    picture.putpalette(colors.tobytes())
    return picture
