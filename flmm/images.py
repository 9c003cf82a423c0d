"""Any image as RGB."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image


def read_rgb(file: str | Path | BinaryIO, *, name: str) -> Image.Image:
    """Read an image file as RGB (:func:`to_rgb`).

    Raises:
        ValueError: truncated or no image; the message calls it ``name``.
    """
    try:
        with Image.open(file) as image:
            return to_rgb(image)
    # RuntimeError is what Pillow's AVIF reader raises, SyntaxError its PNG reader.
    except (Image.DecompressionBombError, OSError, RuntimeError, SyntaxError, ValueError) as error:
        raise ValueError(f'image {name!r} cannot be read ({error}); download it again or convert it') from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any 8- or 16-bit image to RGB. Transparent pixels show white, as in transformers' newest processors.

    Raises:
        ValueError: float pixels or integers beyond 16 bits, whose range is unknown.
    """
    if image.mode in ('I', 'F') or image.mode.startswith('I;16'):
        pixels = np.asarray(image)
        if image.mode == 'F' or pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError(f'pixels of mode {image.mode!r} have no known range; convert to 8 or 16 bits first')
        # Pillow's own conversion would clip everything above 255 to white.
        image = Image.fromarray(np.round(pixels / 257).astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image.convert('RGBA'))
    return image.convert('RGB')
