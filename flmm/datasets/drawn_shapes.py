"""What the files of LabelMe and of ReasonSeg have in common: shapes, each with a label and points."""

import reprlib
from numbers import Real
from typing import Any

import numpy as np

from flmm.datasets.masks import COORDINATE_LIMIT


def shapes_of(content: Any, *, where: str) -> list[dict]:
    """Return the list ``shapes`` of a file.

    Args:
        content: the file as JSON reads it.
        where: names the file, for messages.

    Raises:
        ValueError: there is no such list, or it holds something that is no object with the string ``label``.
    """
    shapes = content.get('shapes') if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        raise ValueError(f"{where} has no list 'shapes' ({reprlib.repr(content)}); take the file that the tool wrote")
    for index, shape in enumerate(shapes):
        if not isinstance(shape, dict) or not isinstance(shape.get('label'), str):
            raise ValueError(f'shape {index} of {where} is {reprlib.repr(shape)}, expected an object with a label')
    return shapes


def points_of(shape: dict, *, where: str) -> np.ndarray:
    """Return the points of a shape, float64 [P, 2], XY in px.

    Args:
        shape: One shape, as :func:`shapes_of` returns them.
        where: names shape and file, for messages.

    Raises:
        ValueError: it has none, or one that is not a pair of finite numbers.
    """
    points = shape.get('points')
    if not isinstance(points, list) or not points:
        raise ValueError(f'{where} has points {reprlib.repr(points)}, expected a list [[x, y], ...] in px')
    for point in points:
        if not isinstance(point, list) or len(point) != 2 or not all(map(_is_coordinate, point)):
            raise ValueError(f'{where} has the point {reprlib.repr(point)}, expected two numbers in px')
    return np.array(points, dtype=np.float64)


def _is_coordinate(value: Any) -> bool:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number and abs(value) <= COORDINATE_LIMIT  # false of NaN
