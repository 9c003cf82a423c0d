"""Referring expressions and captions, unambiguous by construction.

An :class:`Expression` is what a sentence means; :func:`resolve` finds the shapes it means in a scene. Only sentences
that resolve to exactly their target are emitted, and a relation that is not clear resolves to nothing. Every shape of
the scene counts as a rival, however little of it is visible.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from flmm.shapes.render import visible_fractions
from flmm.shapes.scene import Scene, Shape

EXPRESSION_KINDS = ('colour', 'kind', 'size', 'position', 'comparison')
MIN_VISIBLE = 0.5  # share of a shape that must be visible for it to be referred to
MIN_AREA = 150  # px of it that must be visible
SIZE_RATIO = 1.3  # a larger size, or area, is at least this many times the smaller one
POSITION_GAP = 0.1  # of the image's side: the least clear difference of two positions
MAX_SENTENCES = 3

SIZE_WORDS = {
    'biggest': ('big', 'large', 'biggest', 'largest'),
    'smallest': ('small', 'smallest'),
    'bigger': ('bigger', 'larger'),
    'smaller': ('smaller',),
}
# side: axis of the XY centre, direction, words before the noun, words after it
SIDES = {
    'left': (0, -1, ('left', 'leftmost'), 'on the left'),
    'right': (0, 1, ('right', 'rightmost'), 'on the right'),
    'top': (1, -1, ('top',), 'at the top'),
    'bottom': (1, 1, ('bottom',), 'at the bottom'),
}
RELATIONS = {
    'left': (0, -1, ('left of', 'to the left of')),
    'right': (0, 1, ('right of', 'to the right of')),
    'above': (1, -1, ('above',)),
    'below': (1, 1, ('below',)),
}


@dataclass(frozen=True, kw_only=True)
class Expression:
    """What a sentence means: attributes, then at most one of ``size``, ``side`` and ``relation`` to ``anchor``.

    ``None`` leaves an attribute open. ``size`` is biggest, smallest (of all that match) or bigger, smaller (of two);
    ``side`` is left, right, top, bottom; ``relation`` is left, right, above, below.
    """

    colour: str | None = None
    kind: str | None = None
    size: str | None = None
    side: str | None = None
    relation: str | None = None
    anchor: 'Expression | None' = None


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence: lower case, no punctuation; ``kind`` is of :data:`EXPRESSION_KINDS` or ``GENERALIZED_KINDS``."""

    text: str
    kind: str
    expression: Expression


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Shapes, by their indices in the scene, and up to three sentences that mean exactly them.

    :func:`refer` gives references to one shape, :mod:`flmm.shapes.generalized` those to several and to none.
    """

    shape_indices: tuple[int, ...]
    sentences: tuple[Sentence, ...]


def resolve(expression: Expression, scene: Scene) -> list[int]:
    """Find the shapes an expression means; unclear relations give an empty list.

    A superlative needs at least two shapes to choose from, and a side's extreme also lies in that half of the image.
    """
    found = [
        index
        for index, shape in enumerate(scene.shapes)
        if expression.colour in (None, shape.colour) and expression.kind in (None, shape.kind)
    ]
    if expression.anchor is not None:
        anchors = resolve(expression.anchor, scene)
        if len(anchors) != 1:
            return []
        verdicts = {i: _related(expression.relation, i, anchors[0], scene) for i in found if i != anchors[0]}
        return [] if None in verdicts.values() else [i for i, holds in verdicts.items() if holds]
    if expression.size is not None:
        if len(found) < 2 or (expression.size in ('bigger', 'smaller') and len(found) != 2):
            return []
        larger = expression.size in ('biggest', 'bigger')
        return [
            i
            for i in found
            if all(
                _clearly_larger(*((scene.shapes[i], scene.shapes[j]) if larger else (scene.shapes[j], scene.shapes[i])))
                for j in found
                if j != i
            )
        ]
    if expression.side is not None:
        axis, sign, *_ = SIDES[expression.side]
        places = {i: sign * _relative_centre(i, axis, scene) for i in found}
        return [
            i
            for i in found
            if len(found) > 1
            and places[i] > sign * 0.5
            and all(places[i] - places[j] >= POSITION_GAP for j in found if j != i)
        ]
    return found


def refer(scene: Scene, masks: np.ndarray, rng: np.random.Generator) -> list[Reference]:
    """Write sentences of different kinds for every shape that is visible enough and can be told apart.

    Args:
        scene: the scene.
        masks: [num_shapes, H, W] bool, visible pixels, as :func:`render_scene` gives them.
        rng: chooses among the true sentences and their wordings.
    """
    visible = referable_shapes(scene, masks)
    references = []
    for index in np.flatnonzero(visible).tolist():
        found = {kind: _first_true(kind, index, scene, visible, rng) for kind in EXPRESSION_KINDS}
        kinds = [kind for kind in EXPRESSION_KINDS if found[kind] is not None]
        rng.shuffle(kinds)
        sentences = tuple(
            Sentence(text=word(found[kind], rng), kind=kind, expression=found[kind]) for kind in kinds[:MAX_SENTENCES]
        )
        if sentences:
            references.append(Reference(shape_indices=(index,), sentences=sentences))
    return references


def referable_shapes(scene: Scene, masks: np.ndarray) -> np.ndarray:
    """Tell which shapes are visible enough to be spoken of, [num_shapes] bool."""
    return (visible_fractions(scene, masks) >= MIN_VISIBLE) & (masks.sum(axis=(1, 2)) >= MIN_AREA)


def _first_true(
    kind: str, index: int, scene: Scene, visible: np.ndarray, rng: np.random.Generator
) -> Expression | None:
    """Find an expression of a kind that resolves to the shape alone, trying its wordings in random order."""
    candidates = list(candidates_of(kind, index, scene, visible))
    rng.shuffle(candidates)
    return next((candidate for candidate in candidates if resolve(candidate, scene) == [index]), None)


def candidates_of(kind: str, index: int, scene: Scene, visible: np.ndarray) -> Iterator[Expression]:
    """List expressions of a kind that may mean a shape: :func:`resolve` tells which do."""
    shape = scene.shapes[index]
    nouns = nouns_of(shape)
    if kind == 'colour':
        yield from (noun for noun in nouns if noun.colour is not None)
        return
    if kind == 'kind':
        yield Expression(kind=shape.kind)
        return
    for noun in nouns:
        rivals = resolve(noun, scene)
        if len(rivals) < 2:
            continue  # the noun alone would do
        # The size of a half-hidden shape cannot be seen.
        if visible[rivals].all():
            sizes = {'size': ('biggest', 'smallest'), 'comparison': ('bigger', 'smaller')}.get(kind, ())
            yield from (replace(noun, size=size) for size in sizes)
        if kind == 'position':
            yield from (replace(noun, side=side) for side in SIDES)
        if kind == 'comparison':
            for other in np.flatnonzero(visible).tolist():
                for relation in RELATIONS:
                    if other != index and _related(relation, index, other, scene):
                        anchors = [anchor for anchor in nouns_of(scene.shapes[other]) if anchor != Expression()]
                        yield from (replace(noun, relation=relation, anchor=anchor) for anchor in anchors)


def nouns_of(shape: Shape) -> list[Expression]:
    """Name a shape by nothing, its kind, its colour, and both."""
    return [Expression(colour=colour, kind=kind) for colour in (None, shape.colour) for kind in (None, shape.kind)]


def _clearly_larger(a: Shape, b: Shape) -> bool:
    """Both longer than and, as kinds fill their boxes differently, of more area than the other."""
    return a.size >= SIZE_RATIO * b.size and a.area >= SIZE_RATIO * b.area


def _relative_centre(index: int, axis: int, scene: Scene) -> float:
    return scene.shapes[index].centre[axis] / (scene.width, scene.height)[axis]


def _related(relation: str, index: int, anchor: int, scene: Scene) -> bool | None:
    """Tell whether a relation holds; ``None`` where a viewer could see it either way."""
    axis, sign, _ = RELATIONS[relation]
    gap = sign * (_relative_centre(index, axis, scene) - _relative_centre(anchor, axis, scene))
    if gap <= 0:
        return False
    (x, y), (anchor_x, anchor_y) = scene.shapes[index].centre, scene.shapes[anchor].centre
    offsets = abs(x - anchor_x), abs(y - anchor_y)
    return True if gap >= POSITION_GAP and offsets[axis] >= offsets[1 - axis] else None


def noun_phrase(expression: Expression) -> str:
    """Name the attributes of an expression: 'red circle', or 'red shape' if the kind is open."""
    return ' '.join(filter(None, [expression.colour, expression.kind or 'shape']))


def word(expression: Expression, rng: np.random.Generator) -> str:
    """Choose a wording, with or without 'the'."""
    text = noun_phrase(expression)
    if expression.size is not None:
        text = f'{rng.choice(SIZE_WORDS[expression.size])} {text}'
    elif expression.side is not None:
        *_, before, after = SIDES[expression.side]
        text = f'{rng.choice(before)} {text}' if rng.random() < 0.5 else f'{text} {after}'
    elif expression.anchor is not None:
        text = f'{text} {rng.choice(RELATIONS[expression.relation][2])} the {noun_phrase(expression.anchor)}'
    return text if rng.random() < 0.5 else f'the {text}'
