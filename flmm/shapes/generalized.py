"""Sentences that mean several shapes of a scene, or none of them, as gRefCOCO has beside those that mean one."""

import itertools
from dataclasses import replace

import numpy as np

from flmm.shapes.captions import NUMBERS, PLURALS
from flmm.shapes.expressions import (
    MAX_SENTENCES,
    RELATIONS,
    SIDES,
    SIZE_WORDS,
    Expression,
    Reference,
    Sentence,
    nouns_of,
    referable_shapes,
    resolve,
    word,
)
from flmm.shapes.scene import Scene

GENERALIZED_KINDS = ('plural', 'absent', 'absent_pair')
"""Several shapes; none, as no shape has the colour or the kind; none, as shapes have each but no shape has both."""
_FORMS = {'noun': 0.4, 'side': 0.2, 'relation': 0.2, 'size': 0.1, 'plural': 0.1}


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
    named = dict.fromkeys(
        Expression(colour=colour, kind=shape.kind) for shape in scene.shapes for colour in (shape.colour, None)
    )
    sentences: dict[tuple[int, ...], list[Sentence]] = {}
    for expression in named:
        found = resolve(expression, scene)
        if len(found) > 1 and visible[found].all():
            sentence = Sentence(text=_plural(expression, len(found), rng), kind='plural', expression=expression)
            sentences.setdefault(tuple(found), []).append(sentence)
    return [Reference(shape_indices=indices, sentences=tuple(each)) for indices, each in sentences.items()]


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
    visible = referable_shapes(scene, masks)
    config, colours, kinds = scene.config, {s.colour for s in scene.shapes}, {s.kind for s in scene.shapes}
    pairs = [Expression(colour=colour, kind=kind) for colour, kind in itertools.product(config.colours, config.kinds)]
    nouns = [
        [Expression(colour=colour) for colour in config.colours if colour not in colours],
        [Expression(kind=kind) for kind in config.kinds if kind not in kinds],
        [pair for pair in pairs if pair.colour not in colours or pair.kind not in kinds],
    ]
    absent = [each[rng.integers(len(each))] for each in nouns if each]
    seen = [scene.shapes[index] for index in np.flatnonzero(visible)]
    seen_colours, seen_kinds = {shape.colour for shape in seen}, {shape.kind for shape in seen}
    mixed = [
        pair for pair in pairs if pair.colour in seen_colours and pair.kind in seen_kinds and not resolve(pair, scene)
    ]
    anchors = [anchor for shape in seen for anchor in nouns_of(shape)[1:] if len(resolve(anchor, scene)) == 1]
    references = []
    # Many scenes have fewer than three such pairs: with two sentences at the other side both are about as frequent.
    for kind, expressions, most in (('absent', absent, 2), ('absent_pair', mixed, MAX_SENTENCES)):
        chosen = [expressions[index] for index in rng.permutation(len(expressions))[:most]]
        if chosen:
            sentences = tuple(_absent(noun, kind, anchors, rng) for noun in chosen)
            references.append(Reference(shape_indices=(), sentences=sentences))
    return references


def _absent(noun: Expression, kind: str, anchors: list[Expression], rng: np.random.Generator) -> Sentence:
    """Say a noun in one of the forms of sentences with a target: a form of its own would give it away."""
    form = rng.choice(list(_FORMS), p=list(_FORMS.values()))
    if form == 'plural' and noun.kind is not None:
        return Sentence(text=_plural(noun, int(rng.choice((2, 2, 2, 3))), rng), kind=kind, expression=noun)
    expression = noun
    if form == 'side':
        expression = replace(noun, side=str(rng.choice(list(SIDES))))
    elif form == 'size':
        expression = replace(noun, size=str(rng.choice(list(SIZE_WORDS))))
    elif form == 'relation' and anchors:
        relation, anchor = str(rng.choice(list(RELATIONS))), anchors[rng.integers(len(anchors))]
        expression = replace(noun, relation=relation, anchor=anchor)
    return Sentence(text=word(expression, rng), kind=kind, expression=expression)


def _plural(noun: Expression, number: int, rng: np.random.Generator) -> str:
    text = ' '.join(filter(None, [noun.colour, PLURALS[noun.kind]]))
    text = f'{NUMBERS[number]} {text}' if rng.random() < 0.5 else text
    return text if rng.random() < 0.5 else f'the {text}'
