"""Sentences that mean several shapes of a scene, or none of them, as gRefCOCO has beside those that mean one."""

import itertools

import numpy as np

from flmm.shapes.captions import NUMBERS, PLURALS
from flmm.shapes.expressions import (
    MAX_SENTENCES,
    Expression,
    Reference,
    Sentence,
    noun_phrase,
    referable_shapes,
    resolve,
)
from flmm.shapes.scene import Scene

GENERALIZED_KINDS = ('plural', 'absent', 'absent_pair')
"""Several shapes; none, as no shape has the colour or the kind; none, as shapes have each but no shape has both."""


def refer_to_several(scene: Scene, masks: np.ndarray, rng: np.random.Generator) -> list[Reference]:
    """Name equal shapes together, such as 'the two red circles' or 'stars': all that match, each visible enough.

    Args:
        scene: the scene.
        masks: [num_shapes, H, W] bool, visible pixels, as :func:`render_scene` gives them.
        rng: chooses the wordings.

    Returns:
        A reference for each set of two or more shapes, with one sentence or two of kind 'plural'.
    """
    visible = referable_shapes(scene, masks)
    sentences: dict[tuple[int, ...], list[Sentence]] = {}
    for shape in scene.shapes:
        for expression in (Expression(colour=shape.colour, kind=shape.kind), Expression(kind=shape.kind)):
            found = tuple(resolve(expression, scene))
            known = sentences.setdefault(found, [])
            if len(found) > 1 and visible[list(found)].all() and expression not in [each.expression for each in known]:
                words = [expression.colour, PLURALS[expression.kind]]
                words = [NUMBERS[len(found)], *words] if rng.random() < 0.5 else words
                text = _with_article(' '.join(filter(None, words)), rng)
                known.append(Sentence(text=text, kind='plural', expression=expression))
    return [
        Reference(shape_indices=indices, sentences=tuple(wordings))
        for indices, wordings in sentences.items()
        if wordings
    ]


def refer_to_none(scene: Scene, masks: np.ndarray, rng: np.random.Generator) -> list[Reference]:
    """Name what is not in the scene, not even hidden.

    Args:
        scene: the scene; only colours and kinds that its config allows are named.
        masks: [num_shapes, H, W] bool, visible pixels, as :func:`render_scene` gives them.
        rng: chooses what is named and how.

    Returns:
        At most one reference of kind 'absent', whose colour or kind no shape has, with up to two sentences, and at most
        one of 'absent_pair', whose colour and kind both belong to visible shapes, with up to three.
    """
    visible = [scene.shapes[index] for index in np.flatnonzero(referable_shapes(scene, masks))]
    colours, kinds = {shape.colour for shape in scene.shapes}, {shape.kind for shape in scene.shapes}
    pairs = [
        Expression(colour=colour, kind=kind)
        for colour, kind in itertools.product(scene.config.colours, scene.config.kinds)
    ]
    strange = [pair for pair in pairs if pair.colour not in colours or pair.kind not in kinds]
    forms = [
        [Expression(colour=colour) for colour in scene.config.colours if colour not in colours],
        [Expression(kind=kind) for kind in scene.config.kinds if kind not in kinds],
        strange,
    ]
    absent = [form[rng.integers(len(form))] for form in forms if form]
    seen = itertools.product(sorted({shape.colour for shape in visible}), sorted({shape.kind for shape in visible}))
    mixed = [
        pair for pair in (Expression(colour=colour, kind=kind) for colour, kind in seen) if not resolve(pair, scene)
    ]
    # Many scenes have fewer than three such pairs: with two sentences at the other side both are about as frequent.
    chosen = {'absent': _some(absent, 2, rng), 'absent_pair': _some(mixed, MAX_SENTENCES, rng)}
    return [
        Reference(
            shape_indices=(),
            sentences=tuple(
                Sentence(text=_with_article(noun_phrase(each), rng), kind=kind, expression=each) for each in expressions
            ),
        )
        for kind, expressions in chosen.items()
        if expressions
    ]


def _some(expressions: list[Expression], most: int, rng: np.random.Generator) -> list[Expression]:
    return [expressions[index] for index in rng.permutation(len(expressions))[:most]]


def _with_article(text: str, rng: np.random.Generator) -> str:
    return text if rng.random() < 0.5 else f'the {text}'
