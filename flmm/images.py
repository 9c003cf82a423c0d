"""Any image as RGB; files of it read with care, since others made them."""

import contextlib
import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from flmm.files import open_regular

FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF')
"""Pillow's names of what is read; JPEG includes the MPO of cameras and phones. Others stay shut whatever a file is
called: EPS, for one, would start Ghostscript.
"""

SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
"""Of the files in a folder that are taken for images, in small letters or capitals."""

MAX_IMAGE_PIXELS = 100_000_000
"""Largest number of pixels that is decoded by default; 100 million take up to 1.2 GB while they are made RGB."""

ORIENTATIONS = ('refuse', 'apply', 'ignore')

# What shows a picture as stored after Pillow has turned it for display, by EXIF orientation.
_UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_FRAMES_SAID: set[str] = set()


def read_rgb(
    file: str | os.PathLike | BinaryIO, *, name: str, orientation: str, max_pixels: int = MAX_IMAGE_PIXELS
) -> Image.Image:
    """Read an image file as RGB (:func:`to_rgb`), of several frames the first.

    Args:
        file: path of a regular file, or an open one.
        name: what errors call it.
        orientation: what to do if EXIF says that the picture is to be turned or mirrored for display: 'refuse' it,
            'apply' that, or 'ignore' it and give the pixels as stored.
        max_pixels: largest width times height.

    Raises:
        ValueError: truncated, none of :data:`FORMATS`, more pixels than ``max_pixels``, stored turned where that is
            refused, or ``orientation`` unknown.
    """
    check_image_settings(orientation=orientation, max_pixels=max_pixels)
    with _opened(file, name=name, max_pixels=max_pixels) as image:
        turn = _turn(image, name=name, orientation=orientation)
        with _errors_named(name):
            image.load()
            if turn is not None:
                by_pillow = ExifTags.Base.Orientation not in image.getexif()  # it turns TIFFs while it loads them
                if orientation == 'apply' and not by_pillow:
                    image = ImageOps.exif_transpose(image)
                elif orientation == 'ignore' and by_pillow:
                    image = image.transpose(_UNDO[turn])
            rgb = to_rgb(image)
    rgb.info.clear()  # nobody may apply the orientation again
    return rgb


def read_image_size(
    file: str | os.PathLike | BinaryIO, *, name: str, orientation: str, max_pixels: int = MAX_IMAGE_PIXELS
) -> tuple[int, int]:
    """Read the width and height that :func:`read_rgb` would give from the header, with those of its checks that need
    no pixels.
    """
    check_image_settings(orientation=orientation, max_pixels=max_pixels)
    with _opened(file, name=name, max_pixels=max_pixels) as image:
        turn = _turn(image, name=name, orientation=orientation)
        on_its_side = turn is not None and turn >= 5
        # Pillow gives the size of TIFFs as turned by their own tag, all other sizes as stored.
        shown_turned = image.format == 'TIFF' and ExifTags.Base.Orientation in image.tag_v2
        if on_its_side and (orientation == 'apply') != shown_turned:
            return image.height, image.width
        return image.size


def images_in(folder: str | os.PathLike) -> list[Path]:
    """List the images of a folder, by :data:`SUFFIXES`, sorted by name; those of folders in it are left out.

    Raises:
        ValueError: no folder, one that cannot be listed, or one without images.
    """
    try:
        images = sorted(file for file in Path(folder).iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    except OSError as error:
        raise ValueError(f'folder {str(folder)!r} cannot be listed ({error}); give a folder of images') from error
    if not images:
        raise ValueError(f'folder {str(folder)!r} has no images ({", ".join(SUFFIXES)})')
    return images


def check_image_settings(*, orientation: str, max_pixels: int) -> None:
    """Raise a ValueError that names the setting if one is out of its range."""
    if orientation not in ORIENTATIONS:
        raise ValueError(f'orientation is {orientation!r}, expected one of {ORIENTATIONS}')
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 1:
        raise ValueError(f'max_pixels is {max_pixels!r}, expected a positive number of pixels')


def load_pixels(image: Image.Image, *, name: str) -> Image.Image:
    """Decode the pixels of an image that Pillow may have opened without that, and return it.

    Args:
        image: the image.
        name: what errors call it.

    Raises:
        ValueError: it is truncated or damaged, or its file is closed.
    """
    with _errors_named(name):
        image.load()
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any 8- or 16-bit image to RGB. Transparent pixels show white, as in transformers' newest processors.

    Raises:
        ValueError: no pixel at all, or pixels whose range is unknown: float ones, integers beyond 16 bits, or those of
            32 bits that might be of 8.
    """
    if 0 in image.size:
        raise ValueError(f'an image of {image.width}x{image.height} px (width x height) has nothing to see')
    if image.mode in ('I', 'F') or image.mode.startswith('I;16'):
        pixels = np.asarray(image)
        if image.mode == 'F' or pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError(f'pixels of mode {image.mode!r} have no known range; convert to 8 or 16 bits first')
        if image.mode == 'I' and 0 < pixels.max() <= 255:  # an array of 8-bit values in int32 becomes such an image
            raise ValueError(
                f"pixels of mode 'I' up to {pixels.max()} may be of 8 or 16 bits; convert to mode 'L' or 'I;16' first"
            )
        # Pillow's own conversion would clip everything above 255 to white.
        image = Image.fromarray(np.round(pixels / 257).astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image.convert('RGBA'))
    return image.convert('RGB')


@contextlib.contextmanager
def _opened(file: str | os.PathLike | BinaryIO, *, name: str, max_pixels: int) -> Iterator[Image.Image]:
    """Open an image, its header read and its size checked, its pixels not yet decoded."""
    with contextlib.ExitStack() as stack:
        with _errors_named(name):
            if isinstance(file, (str, os.PathLike)):
                file = stack.enter_context(open_regular(file))
            image = stack.enter_context(Image.open(file, formats=FORMATS))
            several_frames = getattr(image, 'is_animated', False)
        if image.width * image.height > max_pixels:
            raise ValueError(
                f'image {name!r} has {image.width} x {image.height} px, more than max_pixels={max_pixels:,}; make it '
                'smaller, or raise max_pixels if the memory suffices'
            )
        if several_frames and not _FRAMES_SAID:
            _FRAMES_SAID.add(name)
            logging.getLogger('flmm').warning(
                'image %r (%s) has several frames; of all such images the first is read', name, image.format
            )
        yield image


def _turn(image: Image.Image, *, name: str, orientation: str) -> int | None:
    """EXIF's orientation if it turns or mirrors the picture, else None; values that mean nothing are no turn."""
    with _errors_named(name):
        turn = image.getexif().get(ExifTags.Base.Orientation)
    if turn not in _UNDO:
        return None
    if orientation == 'refuse':
        raise ValueError(
            f'image {name!r} is stored turned or mirrored (EXIF orientation {turn}), and masks may be drawn either '
            "way; set orientation to 'apply' if they are drawn on the picture as viewers show it, to 'ignore' if on "
            'the pixels as stored'
        )
    return turn


@contextlib.contextmanager
def _errors_named(name: str) -> Iterator[None]:
    problem = 'image {!r} cannot be read ({})'.format
    try:
        yield
    except FileNotFoundError as error:
        absent = problem(name, 'it does not exist')
        raise ValueError(f'{absent}; expected the path of a file on this machine') from error
    except UnidentifiedImageError as error:
        kinds = f'no image of {", ".join(FORMATS)}, or one with a damaged header'
        raise ValueError(f'{problem(name, kinds)}; download it again or convert it') from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f'{problem(name, error)}; make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS beside max_pixels'
        ) from error
    # On damaged files Pillow's readers raise nearly anything: RuntimeError (WebP), SyntaxError (PNG), TypeError (TIFF).
    except (
        ArithmeticError, EOFError, LookupError, OSError, RuntimeError, SyntaxError, TypeError, ValueError, struct.error,
    ) as error:  # fmt: skip
        raise ValueError(f'{problem(name, error)}; download it again or convert it') from error
