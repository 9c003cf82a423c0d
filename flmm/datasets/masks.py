"""COCO's two ways to write a mask, polygons and run-length encodings, decoded without trust in either."""

import reprlib
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from flmm.rle import AREA_LIMIT, check_rle

OUTLINE_LIMIT = 10**6
"""Longest outline of a polygon in px, in images of no more pixels. pycocotools takes memory by its length."""
COORDINATE_LIMIT = 10**8
"""Beyond, pycocotools' integers overflow."""


def encode_mask(segmentation: Any, *, size: tuple[int, int]) -> tuple[dict, list[int]]:
    """Draw a mask, and check what comes out.

    Args:
        segmentation: A list of polygons [x, y, x, y, ...] in px, or an RLE whose counts are a list of runs or
            compressed (str, or bytes as pycocotools makes them).
        size: (height, width) in px that the mask was drawn on.

    Returns:
        The mask as compressed RLE (``pycocotools.mask.decode`` reads it), which has one pixel at least; and the indices
        of polygons that were left out: they have fewer than three points, an odd number of coordinates, or no pixel.

    Raises:
        ValueError: the mask is neither of both forms, has another size, or is empty. The message is a predicate, such
            as 'is an RLE without size', for the caller to say whose.
    """
    if size[0] * size[1] > AREA_LIMIT:
        raise ValueError(f'belongs to an image of {size[0]}x{size[1]} px, more than an RLE can count; check its size')
    if isinstance(segmentation, dict):
        rle = check_rle(segmentation, size=size)
        if not coco_mask.area(rle):
            raise ValueError('is an RLE of background alone; it is empty (0 px)')
        return rle, []
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError(f'is {reprlib.repr(segmentation)}, expected polygons or an RLE')
    polygons = [_coordinates(polygon, segmentation, size=size) for polygon in segmentation]
    drawn, left_out = [], []
    for index, polygon in enumerate(polygons):
        rles = coco_mask.frPyObjects([polygon.tolist()], *size) if len(polygon) >= 6 and len(polygon) % 2 == 0 else []
        if rles and coco_mask.area(rles[0]) > 0:
            drawn += rles
        else:
            left_out.append(index)
    if not drawn or (size != (1, 1) and all(map(in_unit_square, polygons))):  # which may draw the first pixel
        reasons = dict.fromkeys(_why_empty(polygon, size=size) for polygon in polygons)
        raise ValueError(f'has {" and ".join(reasons)}' + ('' if drawn else '; it is empty (0 px)'))
    return coco_mask.merge(drawn), left_out


def unite_masks(masks: Sequence[list | dict], *, size: tuple[int, int]) -> list | dict:
    """Return the union of masks as one: a single one as it is, polygons together, others as compressed RLE.

    Args:
        masks: As :func:`encode_mask` takes and has checked them, one at least.
        size: (height, width) in px that all were drawn on.
    """
    if len(masks) == 1:
        return masks[0]
    if all(isinstance(mask, list) for mask in masks):
        return [polygon for mask in masks for polygon in mask]
    return coco_mask.merge([encode_mask(mask, size=size)[0] for mask in masks])


def fraction_outside(segmentation: Any, *, size: tuple[int, int]) -> float:
    """Return which part of a mask's area lies outside the image, 0 to 1, within about 1 %. An RLE lies inside.

    Args:
        segmentation: As :func:`encode_mask` takes and has checked it.
        size: (height, width) in px that the mask was drawn on.
    """
    if isinstance(segmentation, dict):
        return 0.0
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in segmentation])
    low, high = np.minimum(points.min(axis=0), 0), np.maximum(points.max(axis=0), size[::-1])
    if (low >= -1).all() and (high <= np.add(size[::-1], 1)).all():  # rounding: COCO has many of these
        return 0.0
    side = 512  # enough for a percent, and no more for coordinates that are far away
    scale = side / (high - low)
    drawn = [((np.reshape(polygon, (-1, 2)) - low) * scale).ravel().tolist() for polygon in segmentation]
    canvas = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(drawn, side, side)))
    left, top = np.round((0 - low) * scale).astype(int)
    right, bottom = np.round((size[::-1] - low) * scale).astype(int)
    total = int(canvas.sum())
    return 1 - int(canvas[top:bottom, left:right].sum()) / total if total else 0.0


def _coordinates(polygon: Any, segmentation: list, *, size: tuple[int, int]) -> np.ndarray:
    kinds = set(map(type, polygon)) if isinstance(polygon, (list, tuple, np.ndarray)) else {list}
    if any(issubclass(kind, (list, tuple, dict, np.ndarray)) for kind in kinds):
        raise ValueError(f'is {reprlib.repr(segmentation)}, expected polygons or an RLE')
    for kind in kinds:
        if not issubclass(kind, Real) or kind is bool:
            value = next(value for value in polygon if type(value) is kind)
            raise ValueError(f'has a polygon with the coordinate {reprlib.repr(value)}, expected numbers in px')
    try:
        coordinates = np.array(polygon, dtype=np.float64)
    except OverflowError as error:  # JSON has integers of any length
        raise ValueError(f'has a polygon with a coordinate that is not finite ({error})') from error
    if not np.isfinite(coordinates).all():
        raise ValueError('has a polygon with a coordinate that is not finite')
    if len(coordinates) >= 6 and len(coordinates) % 2 == 0:
        points = coordinates.reshape(-1, 2)
        largest, limit = np.abs(coordinates).max(), max(OUTLINE_LIMIT, 4 * size[0] * size[1])
        is_far = largest > COORDINATE_LIMIT
        if not is_far and 2 * largest * len(points) > limit:  # else no outline of so many sides is too long
            is_far = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum() > limit
        if is_far:
            raise ValueError(f'has a polygon far outside the image of {size[0]}x{size[1]} px ({_extent(points)})')
    return coordinates


def in_unit_square(polygon: np.ndarray) -> bool:
    """Return whether coordinates, in any shape, are fractions of the image where px are expected."""
    return bool((np.abs(polygon - 0.5) <= 0.6).all())  # fractions of an image stick out a little, as pixels do


def _extent(points: np.ndarray) -> str:
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return f'x from {left:g} to {right:g}, y from {top:g} to {bottom:g}'


def _why_empty(polygon: np.ndarray, *, size: tuple[int, int]) -> str:
    if len(polygon) < 6 or len(polygon) % 2:
        return 'a polygon of fewer than three points or an odd number of coordinates'
    points = polygon.reshape(-1, 2)
    if in_unit_square(polygon):
        return 'a polygon in coordinates of 0 to 1, expected px (multiply x by the width and y by the height)'
    if (points.max(axis=0) <= 0).any() or (points.min(axis=0) >= size[::-1]).any():
        return f'a polygon outside the image of {size[0]}x{size[1]} px ({_extent(points)})'
    if (points == points[0]).all():
        return f'a polygon of one repeated point ({points[0, 0]:g}, {points[0, 1]:g})'
    if np.linalg.matrix_rank(points - points[0]) < 2:
        return f'a polygon whose points lie on one line ({_extent(points)})'
    return f'a polygon that covers the middle of no pixel ({_extent(points)})'
