"""An image with masks over it, each in its colour, and a legend of what they are.

Letters: (IH, IW) the image, (PH, PW) its picture in px.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.transforms import IdentityTransform
from PIL import Image
from torch import Tensor

from flmm.visualization.figures import shrunk_image, shrunk_mask
from flmm.visualization.mask_layer import Colour, colour_of, edge_distance, mask_layer
from flmm.visualization.save import figure_pixels
from flmm.visualization.text import DPI, TextFigure, fit_text, text_style

LONGEST_SIDE = 1600
"""Of the picture in px, without the legend."""
NARROWEST = 360
"""Of picture and legend in px, so that the legend can be read."""
MAX_ROWS = 200
"""Of the legend; a line says how many phrases are left out."""


@dataclass(frozen=True, kw_only=True)
class LegendRow:
    """What the legend says of one phrase.

    Args:
        number: counted from 1.
        colour: RGB; None where the phrase is not there.
        phrase: the words as they were given.
        place: (row, column) of the number in the picture; None where the mask is empty.
    """

    number: int
    colour: Colour | None
    phrase: str
    place: tuple[int, int] | None


def draw_overlay(
    image: Image.Image,
    *,
    masks: Iterable[Tensor],
    phrases: Sequence[str],
    exists: Sequence[bool] | None = None,
) -> Image.Image:
    """Draw masks over their image, and below it a legend of numbers and phrases.

    Each mask is a :func:`~flmm.visualization.mask_layer.mask_layer` over those before it. Phrases that are not there
    are listed as such.

    Args:
        image: RGB, size (IW, IH).
        masks: [IH, IW] bool for each phrase, taken one after the other, so that they need not fit into memory.
        phrases: what the masks are of.
        exists: which phrases are there; None takes those whose masks have a pixel.

    Returns:
        An RGB picture: the image at the top left, shrunk if a side is longer than :data:`LONGEST_SIDE`, and the legend.
    """
    picture = shrunk_image(image, LONGEST_SIDE).convert('RGBA')
    rows: list[LegendRow] = []
    for index, (mask, phrase) in enumerate(zip(masks, phrases, strict=True)):
        shrunk, colour, place = shrunk_mask(mask, (picture.height, picture.width)), colour_of(index), None
        if shrunk.any():
            picture.alpha_composite(mask_layer(shrunk, colour).convert('RGBA'))
            place = _roomy_place(shrunk, taken=[row.place for row in rows if row.place])
        is_there = place is not None if exists is None else exists[index]
        rows.append(LegendRow(number=index + 1, colour=colour if is_there else None, phrase=phrase, place=place))
    return _with_legend(np.asarray(picture.convert('RGB')), rows)


def _roomy_place(mask: np.ndarray, *, taken: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Find where a mask [PH, PW] has most room for its number: far from its edge, and from the numbers of other masks.

    Args:
        mask: with at least one pixel.
        taken: (row, column) of other numbers.
    """
    rows, columns = np.nonzero(mask)
    room = edge_distance(mask)[rows, columns]
    for row, column in taken:
        room = np.minimum(room, np.hypot(rows - row, columns - column))
    roomiest = room.argmax()
    return int(rows[roomiest]), int(columns[roomiest])


def _with_legend(pixels: np.ndarray, rows: list[LegendRow]) -> Image.Image:
    """Write the numbers on a picture [PH, PW, 3], and the legend below it."""
    height, width = pixels.shape[0], max(pixels.shape[1], NARROWEST)
    letter = min(max(round(max(pixels.shape[:2]) / 50), 12), 32)  # height of letters in px
    fontsize = letter * 72 / DPI  # in points
    left, right = 3 * letter, width - letter // 2
    room = (right - left - 5 * letter) / DPI  # in inches; 'not there' takes the rest
    texts = [fit_text(row.phrase, width=room, fontsize=fontsize, max_lines=2) for row in rows[:MAX_ROWS]]
    if len(rows) > MAX_ROWS:
        texts.append(f'{len(rows) - MAX_ROWS} more not listed')
    heights = [round(letter * (0.9 + 1.3 * (1 + text.count('\n')))) for text in texts]
    total = height + sum(heights) + letter
    # The hundredth keeps what is divided from being rounded down to a pixel less.
    figure = TextFigure(figsize=((width + 0.01) / DPI, (total + 0.01) / DPI), dpi=DPI, facecolor='white')
    figure.figimage(pixels, 0, total - height, origin='upper')

    def write(x: float, y: float, text: str, **style: object) -> None:
        style = {'fontsize': fontsize, 'color': 'black', 'va': 'center', **text_style(text), **style}
        figure.text(x, total - y, text, transform=IdentityTransform(), **style)

    def write_number(x: float, y: float, row: LegendRow) -> None:
        face, is_dark = row.colour, row.colour is not None and np.dot(row.colour, (0.299, 0.587, 0.114)) < 110
        circle = {'boxstyle': 'circle,pad=0.2', 'linewidth': letter / 12, 'edgecolor': 'black'}
        circle['facecolor'] = 'white' if face is None else np.divide(face, 255)
        colour = 'white' if is_dark else 'black'
        write(x, y, str(row.number), ha='center', fontsize=0.8 * fontsize, color=colour, bbox=circle)

    for row in rows:
        if row.place:
            write_number(row.place[1] + 0.5, row.place[0] + 0.5, row)
    y = height + letter / 2
    for index, (text, row_height) in enumerate(zip(texts, heights, strict=True)):
        middle = y + row_height / 2
        write(left, middle, text)
        if index < MAX_ROWS:
            write_number(1.5 * letter, middle, rows[index])
            if rows[index].colour is None:
                write(right, middle, 'not there', ha='right')
        y += row_height
    return Image.fromarray(figure_pixels(figure))
