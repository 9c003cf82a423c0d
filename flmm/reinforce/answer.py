"""What an LMM has answered: objects, each with a phrase, a box or a point; and the formats in which it is written.

Every place is in px of the image, whatever the format counts in.
"""

from collections.abc import Callable
from dataclasses import dataclass

MAX_OBJECTS = 100
"""An answer of more objects cannot be read: matching them would take for ever."""

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class AnsweredObject:
    """One object of an answer.

    Args:
        phrase: the words for it; None where the answer has none.
        box: (x1, y1, x2, y2) in px of the image with x1 < x2 and y1 < y2; None where the answer has none.
        point: (x, y) in px of the image; None where the answer has none.
    """

    phrase: str | None = None
    box: Box | None = None
    point: Point | None = None


Answer = tuple[AnsweredObject, ...]
"""The objects of an answer that can be read; none where it says that nothing is there."""


@dataclass(frozen=True, kw_only=True)
class AnswerFrame:
    """What the numbers of an answer count.

    Args:
        image_size: (width, height) of the image in px.
        size: (width, height) of the same image in the answer's numbers, such as the px of the image as it was read.
    """

    image_size: tuple[int, int]
    size: tuple[float, float]

    def point(self, x: float, y: float) -> Point:
        """Bring a point to px of the image."""
        return x * self.image_size[0] / self.size[0], y * self.image_size[1] / self.size[1]


@dataclass(frozen=True, kw_only=True)
class AnswerFormat:
    """A way to write answers.

    Args:
        parse: reads a text; None where it cannot be read. It never raises, whatever the text is.
        writes: of :class:`AnsweredObject`, what objects can have in this format.
        counts: which of :data:`~flmm.reinforce.prompts.COORDINATES` its numbers may count; None: any.
    """

    parse: Callable[[str, AnswerFrame], Answer | None]
    writes: frozenset[str]
    counts: frozenset[str] | None = None
