"""Outlines of the shape kinds, as polygons in a unit box.

Coordinates are XY; pixel i spans [i, i + 1], so its centre lies at i + 0.5 (the convention of pycocotools polygons).
"""

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def _regular(num_points: int, *, radius: float = 1.0, phase: float = -np.pi / 2) -> Array:
    angle = phase + 2 * np.pi * np.arange(num_points) / num_points
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _star() -> list[Array]:
    points = _regular(10)
    points[1::2] *= 0.45
    return [points]


def _cross() -> list[Array]:
    arm = 0.36
    corner = np.array([[arm, -1], [arm, -arm], [1, -arm]])
    turn = np.array([[0, 1], [-1, 0]])  # a quarter turn of row vectors
    return [np.concatenate([corner @ np.linalg.matrix_power(turn, quarter) for quarter in range(4)])]


def _heart() -> list[Array]:
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x = 16 * np.sin(angle) ** 3
    y = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
    return [np.stack([x, -y], axis=1)]


_BUILDERS: dict[str, Callable[[], list[Array]]] = {
    'circle': lambda: [_regular(64)],
    'square': lambda: [_regular(4, phase=-np.pi / 4)],
    'triangle': lambda: [_regular(3)],
    'star': _star,
    'cross': _cross,
    'ring': lambda: [_regular(64), _regular(64, radius=0.45)],
    'heart': _heart,
}
KINDS = tuple(_BUILDERS)


def _unit_contours(kind: str) -> tuple[Array, ...]:
    """Centre the bounding box at the origin and scale its longer side to 1."""
    contours = _BUILDERS[kind]()
    low, high = contours[0].min(axis=0), contours[0].max(axis=0)
    return tuple((contour - (low + high) / 2) / (high - low).max() for contour in contours)


_UNIT_CONTOURS = {kind: _unit_contours(kind) for kind in KINDS}


def kind_contours(kind: str, *, size: float, rotation: float) -> list[Array]:
    """Give the outline of a kind around the origin.

    Args:
        kind: one of :data:`KINDS`.
        size: longer side of the bounding box before rotation, px.
        rotation: degrees, clockwise as seen in the image.

    Returns:
        Polygons [P, 2] in px, XY. A second polygon is a hole (even-odd rule).
    """
    cos, sin = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    matrix = size * np.array([[cos, sin], [-sin, cos]])
    return [contour @ matrix for contour in _UNIT_CONTOURS[kind]]


def polygon_area(polygon: Array) -> float:
    """Give the area of a simple polygon [P, 2] (shoelace formula), in its squared unit."""
    x, y = polygon.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
