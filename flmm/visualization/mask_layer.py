"""A mask as a layer over its picture, and the colours of masks: what every picture of masks over an image is made of.

Letters: (PH, PW) the picture in px.
"""

import colorsys

import numpy as np
from PIL import Image
from scipy import ndimage

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
"""Okabe and Ito's colours, which colour-blind people can tell apart (Wong, Nature Methods 8, 2011), without yellow."""
SELECTED: Colour = (240, 228, 66)
"""Their yellow, for the mask of words that somebody has selected."""
OPACITY = 0.5
"""Of the colour inside a mask."""


def colour_of(index: int) -> Colour:
    """Return the RGB of mask ``index``, counted from 0: the palette's first, then hues far from the one before."""
    if index < len(PALETTE):
        return PALETTE[index]
    golden_ratio = 0.618034  # of the circle of hues from each colour to the next
    red, green, blue = colorsys.hsv_to_rgb((index * golden_ratio) % 1, 0.75, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)


def mask_layer(mask: np.ndarray, colour: Colour) -> Image.Image:
    """Draw a mask: half-transparent inside, with a line of the full colour along its edge, and a white one within that.

    Args:
        mask: [PH, PW] bool.
        colour: RGB.

    Returns:
        A picture with a palette, size (PW, PH); transparent outside of the mask.
    """
    line = max(1, round(max(mask.shape) / 400))  # thickness in px
    depth = edge_distance(mask)
    layer = Image.fromarray(np.select([depth == 0, depth <= line, depth <= 2 * line], [0, 1, 2], 3).astype(np.uint8))
    layer.putpalette([0, 0, 0, *colour, 255, 255, 255, *colour])
    layer.info['transparency'] = bytes([0, 255, 255, round(255 * OPACITY)])
    return layer


def edge_distance(mask: np.ndarray) -> np.ndarray:
    """Count the steps from each pixel to the outside of a mask, also diagonal ones; beyond the picture is outside.

    Returns:
        [PH, PW] int32, 0 outside of the mask.
    """
    distance = np.zeros(mask.shape, dtype=np.int32)
    if mask.any():
        (box,) = ndimage.find_objects(mask.astype(np.uint8))
        distance[box] = ndimage.distance_transform_cdt(np.pad(mask[box], 1))[1:-1, 1:-1]
    return distance
