"""Masks that lie in picture files: one in a file of its own, or segments of a panoptic PNG.

In annotations they stand as ``{'png': path}``, or as ``{'panoptic': path, 'ids': [id, ...]}``, the union of segments.
"""

from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from flmm.files import open_regular
from flmm.images import MAX_IMAGE_PIXELS


def is_file_mask(mask: Any) -> bool:
    """Return whether a mask lies in a file; what else is polygons or an RLE."""
    return isinstance(mask, dict) and ('png' in mask or 'panoptic' in mask)


def mask_of_file(mask: dict[str, Any], pictures: dict[str, np.ndarray]) -> np.ndarray:
    """Read a mask from its file.

    Args:
        mask: ``{'png': path}``: every pixel that is not 0 is in the mask. ``{'panoptic': path, 'ids': ids}``: every
            pixel of these segments is.
        pictures: what was read before, by path; the mask's picture is added.

    Returns:
        [height, width] uint8, 0 or 1.

    Raises:
        ValueError: the file is absent or no picture, a panoptic one is not RGB, or a segment or the mask is empty. The
            message is a predicate, for the caller to say whose.
    """
    path = mask.get('png') or mask['panoptic']
    if path not in pictures:
        pictures[path] = read_png(path, mode='L' if 'png' in mask else 'RGB')
    picture = pictures[path]
    if 'png' in mask:
        found = picture != 0
        if not found.any():
            raise ValueError(f'is the file {path!r}, in which all pixels are 0; write "no_target" if nothing is meant')
        return found.astype(np.uint8)
    ids = panoptic_ids(picture)
    for segment in mask['ids']:
        if not (ids == segment).any():
            raise ValueError(f'has segment {segment}, of which {path!r} has no pixel; take both from one release')
    return np.isin(ids, mask['ids']).astype(np.uint8)


def panoptic_ids(picture: np.ndarray) -> np.ndarray:
    """Return the segment ids of a panoptic picture: uint8 RGB [h, w, 3] -> [h, w] int64, R + 256 G + 256² B."""
    return picture.astype(np.int64) @ np.array([1, 256, 256**2])


def read_png(path: str, *, mode: str) -> np.ndarray:
    """Read a PNG as it is stored; of a palette picture the indices.

    Args:
        path: the file.
        mode: 'L' for one channel, 'RGB' for three.

    Returns:
        [h, w] or [h, w, 3].

    Raises:
        ValueError: it is absent, no PNG, too large or has other channels. The message is a predicate.
    """
    try:
        # of the other formats JPEG changes pixels, and EPS runs code
        with open_regular(path) as file, Image.open(file, formats=['PNG']) as picture:
            is_too_large = picture.width * picture.height > MAX_IMAGE_PIXELS
            if not is_too_large:
                picture.load()
    except FileNotFoundError as error:
        raise ValueError(f'is the file {path!r}, which does not exist') from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f'is the file {path!r}, which cannot be read as a PNG ({error})') from error
    if is_too_large:
        raise ValueError(
            f'is the file {path!r} of {picture.width} x {picture.height} px, more than {MAX_IMAGE_PIXELS:,}'
        )
    # of palettes the indices count, not the grey of their colours
    if mode == 'L' and picture.mode not in ('L', '1', 'P', 'I', 'I;16'):
        raise ValueError(f'is the file {path!r} of mode {picture.mode}, expected one channel')
    if mode == 'RGB' and picture.mode != 'RGB':
        raise ValueError(f'is the file {path!r} of mode {picture.mode}, expected RGB, as COCO panoptic has')
    return np.asarray(picture)
