"""Pictures for the page, each as the text of a data URL: no file is written, and none is served.

Letters: M phrases, (IH, IW) the image and (PH, PW) its picture in px.
"""

import base64
import colorsys
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from flmm.grounder import Grounding
from flmm.visualization.figures import shrunk_mask

LONGEST_SIDE = 1024
"""Of a picture in the page in px."""
LONGEST_DOWNLOAD = 2048
FILL, LINE = 0.45, 2
"""Opacity of a mask, and the width in px of the line around it."""

FIRST_COLORS = (
    (230, 60, 60),
    (30, 125, 235),
    (30, 165, 85),
    (245, 150, 20),
    (150, 80, 220),
    (0, 170, 185),
    (225, 75, 165),
)


def color_of(index: int) -> tuple[int, int, int]:
    """Return the RGB of the phrase ``index``; all are different, and neighbours far from each other."""
    if index < len(FIRST_COLORS):
        return FIRST_COLORS[index]
    red, green, blue = colorsys.hsv_to_rgb((index * 0.618034) % 1, 0.75, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)


def data_url(image: Image.Image) -> str:
    """Write a picture as PNG if it has a palette, else as JPEG, into a data URL."""
    file = io.BytesIO()
    if image.mode == 'P':
        image.save(file, 'PNG', optimize=True)
        kind = 'png'
    else:
        image.save(file, 'JPEG', quality=90, subsampling=0)
        kind = 'jpeg'
    return f'data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode("ascii")}'


def shrunk(image: Image.Image, longest: int = LONGEST_SIDE) -> Image.Image:
    """Return the image with sides of at most ``longest`` px."""
    image = image.copy()
    image.thumbnail((longest, longest))
    return image


def masks_for(found: Grounding, size: tuple[int, int], source: str = 'refined') -> Iterable[np.ndarray]:
    """Yield the mask of each phrase on a picture of ``size`` (PH, PW), bool."""
    for masks in found.mask_chunks(source):
        for mask in masks:
            yield shrunk_mask(mask, size)


def mask_layer(mask: np.ndarray, color: tuple[int, int, int]) -> Image.Image:
    """Return a layer that shows a mask [PH, PW] over its image: transparent, filled, and with a line around it."""
    indices = mask.astype(np.uint8)
    indices[mask & ~binary_erosion(mask, iterations=LINE, border_value=1)] = 2
    layer = Image.fromarray(indices, mode='P')
    layer.putpalette([0, 0, 0, *color, *color])
    layer.info['transparency'] = bytes([0, round(255 * FILL), 255])
    return layer


def overlay(found: Grounding, longest: int = LONGEST_DOWNLOAD) -> Image.Image:
    """Paint all masks over the image, as the page does, with sides of at most ``longest`` px; RGB."""
    picture = shrunk(found.image, longest).convert('RGBA')
    for index, mask in enumerate(masks_for(found, (picture.height, picture.width))):
        picture.alpha_composite(mask_layer(mask, color_of(index)).convert('RGBA'))
    return picture.convert('RGB')
