"""Captions that name every visible shape of a scene, in parts that know which shapes they name."""

from dataclasses import dataclass, replace

import numpy as np

from flmm.shapes.contours import KINDS
from flmm.shapes.expressions import RELATIONS, SIDES, SIZE_WORDS, referable_shapes
from flmm.shapes.scene import COLOURS, Scene, Shape

PLURALS = {kind: 'crosses' if kind == 'cross' else f'{kind}s' for kind in KINDS}
NUMBERS = {2: 'two', 3: 'three', 4: 'four', 5: 'five', 6: 'six'}
_PLACES = {
    ('top', 'left'): 'at the top left', ('top', ''): 'at the top', ('top', 'right'): 'at the top right',
    ('', 'left'): 'on the left', ('', ''): 'in the middle', ('', 'right'): 'on the right',
    ('bottom', 'left'): 'at the bottom left', ('bottom', ''): 'at the bottom',
    ('bottom', 'right'): 'at the bottom right',
}  # fmt: skip


def _vocabulary() -> tuple[str, ...]:
    phrases = ['the', 'shape', 'and', 'background', *COLOURS, *KINDS, *PLURALS.values(), *NUMBERS.values()]
    phrases += [*_PLACES.values(), *(word for words in SIZE_WORDS.values() for word in words)]
    for _, _, before, after in SIDES.values():
        phrases += [*before, after]
    phrases += [wording for *_, wordings in RELATIONS.values() for wording in wordings]
    return tuple(sorted({word for phrase in phrases for word in phrase.split()}))


VOCABULARY = _vocabulary()
"""Every word that sentences and captions can contain."""


@dataclass(frozen=True, kw_only=True)
class CaptionSegment:
    """A part of a caption, as PNG has it; the texts of all parts concatenate to the caption.

    Args:
        text: words, with a leading space except at the caption's start.
        shape_indices: the shapes of the scene that it names.
        background: whether it names the background.
        plural: whether it names several things.
    """

    text: str
    shape_indices: tuple[int, ...] = ()
    background: bool = False
    plural: bool = False

    @property
    def noun(self) -> bool:
        """Whether it names anything."""
        return self.background or bool(self.shape_indices)


def describe(scene: Scene, masks: np.ndarray, *, panoptic: bool = False) -> list[CaptionSegment]:
    """Name every visible shape with its place, from left to right: 'the red circle at the top left and ...'.

    Args:
        scene: the scene.
        masks: [num_shapes, H, W] bool, visible pixels.
        panoptic: name equal shapes together ('the two red circles') and close with the background, as PNG's
            narratives do. Without it every shape is named on its own.

    Returns:
        The parts in order; none if nothing is visible and the background is not asked for.
    """
    visible = np.flatnonzero(referable_shapes(scene, masks)).tolist()
    groups: dict[object, list[int]] = {}
    for index in sorted(visible, key=lambda i: scene.shapes[i].centre[0]):
        shape = scene.shapes[index]
        groups.setdefault((shape.colour, shape.kind) if panoptic else index, []).append(index)
    segments = [part for group in groups.values() for part in (CaptionSegment(text=' and'), *_name(scene, group))]
    if panoptic:
        segments += [CaptionSegment(text=' and'), CaptionSegment(text=' the background', background=True)]
    segments = segments[1:]  # the first 'and' joins nothing
    return [replace(part, text=part.text.lstrip()) if part is segments[0] else part for part in segments]


def _name(scene: Scene, indices: list[int]) -> list[CaptionSegment]:
    shape = scene.shapes[indices[0]]
    if len(indices) > 1:
        text = f' the {NUMBERS[len(indices)]} {shape.colour} {PLURALS[shape.kind]}'
        return [CaptionSegment(text=text, shape_indices=tuple(indices), plural=True)]
    text = f' the {shape.colour} {shape.kind}'
    return [CaptionSegment(text=text, shape_indices=tuple(indices)), CaptionSegment(text=f' {_place(shape, scene)}')]


def _place(shape: Shape, scene: Scene) -> str:
    x, y = shape.centre[0] / scene.width, shape.centre[1] / scene.height
    row = 'top' if y < 1 / 3 else 'bottom' if y > 2 / 3 else ''
    column = 'left' if x < 1 / 3 else 'right' if x > 2 / 3 else ''
    return _PLACES[row, column]
