"""Scenes in motion: shapes that move evenly in a line, or stand still, over a background that does not move."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

from flmm.shapes.scene import Scene, Shape

DIRECTIONS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {'left': (-1, 0), 'right': (1, 0), 'up': (0, -1), 'down': (0, 1)}
)
"""Direction -> its unit step, XY."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How a shape moves: evenly from frame ``first`` to frame ``last``; before and after them it is at rest.

    Args:
        direction: one of :data:`DIRECTIONS`; None for a shape that stands still.
        first: frame in which it is about to move, 0 or more.
        last: frame in which it has arrived, more than ``first``.
        distance: how far it gets, px.
    """

    direction: str | None = None
    first: int = 0
    last: int = 1
    distance: float = 0.0

    def offset(self, frame: int) -> tuple[float, float]:
        """How far the shape is from where it began, XY in px."""
        if self.direction is None:
            return 0.0, 0.0
        part = min(max((frame - self.first) / (self.last - self.first), 0.0), 1.0)
        x, y = DIRECTIONS[self.direction]
        return x * part * self.distance, y * part * self.distance

    def within(self, start: int, last: int) -> str | None:
        """In which direction the shape moves from one frame to a later one; None where it does not."""
        return self.direction if self.offset(start) != self.offset(last) else None

    def moved(self, shape: Shape, frame: int) -> Shape:
        """Return the shape, which lies where it begins, where it is in a frame."""
        x, y = self.offset(frame)
        return replace(shape, centre=(shape.centre[0] + x, shape.centre[1] + y))


@dataclass(frozen=True, kw_only=True)
class MovingScene:
    """A video of shapes, from back to front: who is in front stays there.

    Args:
        start: the picture, its shapes where they begin; some of them may begin outside of it.
        motions: how each shape moves.
        num_frames: 2 or more.
        fps: frames in a second.
    """

    start: Scene
    motions: tuple[Motion, ...]
    num_frames: int
    fps: float

    @cached_property
    def scenes(self) -> tuple[Scene, ...]:
        """The scene of every frame; all have the shapes of ``start``, wherever these are."""
        return tuple(
            replace(
                self.start,
                shapes=tuple(
                    motion.moved(shape, frame) for shape, motion in zip(self.start.shapes, self.motions, strict=True)
                ),
            )
            for frame in range(self.num_frames)
        )
