"""Sentences to several shapes and to none: what their words say, counted over the shapes of the scene one by one."""

import re
from collections import Counter

import numpy as np
import pytest

from flmm.shapes import (
    COLOURS,
    DIFFICULTY,
    GENERALIZED_KINDS,
    KINDS,
    VOCABULARY,
    Expression,
    Scene,
    SceneConfig,
    Shape,
    generate_split,
    refer_to_none,
    refer_to_several,
    render_scene,
    visible_fractions,
)

NUMBERS = {'two': 2, 'three': 3, 'four': 4, 'five': 5, 'six': 6}
SINGULARS = {**{f'{kind}s': kind for kind in KINDS if kind != 'cross'}, 'crosses': 'cross'}


PLACES = r' (on the (left|right)|at the (top|bottom)|((to the )?(left|right) of|above|below) the .+)$'
ADJECTIVES = {'left', 'leftmost', 'right', 'rightmost', 'top', 'bottom', 'big', 'large', 'biggest', 'largest', 'small',
              'smallest', 'bigger', 'larger', 'smaller'}  # fmt: skip


def read(text):
    """Colour or None, kind or None, number or None, whether plural; a word that is none of these raises KeyError."""
    *words, noun = re.sub(PLACES, '', text.removeprefix('the ')).split()
    if words and words[0] in ADJECTIVES:
        words.pop(0)
    number = NUMBERS[words.pop(0)] if words and words[0] in NUMBERS else None
    (colour,) = words or [None]
    assert colour is None or colour in COLOURS
    plural = noun in SINGULARS
    kind = None if noun == 'shape' else SINGULARS[noun] if plural else dict.fromkeys(KINDS, noun)[noun]
    return colour, kind, number, plural


def matches(scene, colour, kind):
    return tuple(
        i for i, shape in enumerate(scene.shapes) if colour in (None, shape.colour) and kind in (None, shape.kind)
    )


@pytest.fixture(scope='module')
def samples():
    return [
        sample
        for config in DIFFICULTY.values()
        for split in ('train', 'testB')
        for sample in generate_split(seed=5, split=split, num_images=20, config=config)
    ]


@pytest.fixture(scope='module')
def sentences(samples):
    return [
        (sample, reference, sentence)
        for sample in samples
        for reference in sample.generalized_references
        for sentence in reference.sentences
        if sentence.kind in GENERALIZED_KINDS
    ]


def test_plurals_mean_all_that_match_and_each_can_be_seen(sentences):
    plurals = [each for each in sentences if each[2].kind == 'plural']
    assert len(plurals) > 60
    for sample, reference, sentence in plurals:
        colour, kind, number, plural = read(sentence.text)
        assert plural
        assert kind is not None
        assert reference.shape_indices == matches(sample.scene, colour, kind), sentence.text
        assert len(reference.shape_indices) == (number or len(reference.shape_indices)) > 1
        visible = visible_fractions(sample.scene, sample.masks)
        assert min(visible[i] for i in reference.shape_indices) >= 0.5


def test_absent_means_no_shape_however_hidden(sentences):
    for sample, reference, sentence in sentences:
        if sentence.kind == 'plural':
            continue
        colour, kind, _, _ = read(sentence.text)
        assert reference.shape_indices == ()
        assert matches(sample.scene, colour, kind) == ()
        visible = visible_fractions(sample.scene, sample.masks)
        has_colour, has_kind = matches(sample.scene, colour, None), matches(sample.scene, None, kind)
        if sentence.kind == 'absent':
            assert not has_colour or not has_kind
        else:
            assert max(visible[i] for i in has_colour) >= 0.5
            assert max(visible[i] for i in has_kind) >= 0.5


def test_there_is_an_absent_sentence_for_every_two_or_three_others():
    samples = list(generate_split(seed=5, split='train', num_images=60, config=DIFFICULTY['medium']))
    counts = Counter(
        sentence.kind
        for sample in samples
        for reference in sample.generalized_references
        for sentence in reference.sentences
    )
    absent = counts['absent'] + counts['absent_pair']
    assert 0.3 < absent / (counts.total() - absent) < 0.5
    assert 0.4 < counts['absent_pair'] / absent < 0.6


def form(sentence):
    """What stands beside the noun: nothing, a place, a size, another shape; or the noun is a plural."""
    expression = sentence.expression
    plural = sentence.text.split()[-1] in SINGULARS
    beside = expression.anchor and 'relation', expression.side and 'side', expression.size and 'size'
    return 'plural' if plural else next(filter(None, beside), 'noun')


def test_the_form_of_a_sentence_hardly_tells_whether_it_has_a_target():
    samples = generate_split(seed=6, split='train', num_images=100, config=DIFFICULTY['medium'])
    counts = {False: Counter(), True: Counter()}
    nouns = Counter()
    for sample in samples:
        for reference in sample.generalized_references:
            for sentence in reference.sentences:
                counts[bool(reference.shape_indices)][form(sentence)] += 1
                if sentence.kind == 'absent':
                    nouns[bool(sentence.expression.colour), bool(sentence.expression.kind)] += 1
    present, absent = counts[True], counts[False]
    assert set(present) == set(absent) == {'noun', 'side', 'size', 'relation', 'plural'}
    for name in present:
        assert abs(present[name] / present.total() - absent[name] / absent.total()) < 0.1, name
    assert set(nouns) == {(True, True), (True, False), (False, True)}
    assert min(nouns.values()) > 0.25 * nouns.total()  # a colour alone, a kind alone, both: equally often


def test_references_to_one_shape_are_refcocos_and_the_order_says_nothing(samples):
    ranks = []
    for sample in samples:
        singles = [each for each in sample.generalized_references if len(each.shape_indices) == 1]
        assert sorted(singles, key=lambda each: each.shape_indices) == sample.references
        places = [i for i, each in enumerate(sample.generalized_references) if not each.shape_indices]
        ranks += [i / (len(sample.generalized_references) - 1) for i in places]
    assert np.mean(ranks) == pytest.approx(0.5, abs=0.06)


def test_words_are_the_vocabularys(sentences):
    assert {word for *_, sentence in sentences for word in sentence.text.split()} <= set(VOCABULARY)


def test_sentences_follow_from_the_seed(samples):
    (again,) = generate_split(seed=5, split='train', num_images=1, config=DIFFICULTY['easy'])
    assert again.generalized_references == samples[0].generalized_references


# Scenes of 100 x 100 px made by hand: kind, colour, size, centre.


def make_scene(*shapes, **config):
    made = [
        Shape(kind=kind, colour=colour, rgb=COLOURS[colour], size=size, centre=centre, rotation=0.0)
        for kind, colour, size, centre in shapes
    ]
    scene = Scene(height=100, width=100, shapes=tuple(made), config=SceneConfig(outline=0, noise=0.0, **config))
    return scene, render_scene(scene, np.random.default_rng(0))[1]


def meanings(references):
    return {each.shape_indices: {sentence.expression for sentence in each.sentences} for each in references}


def test_one_set_of_shapes_has_one_reference():
    circles = [('circle', 'red', 20.0, (x, 20.0)) for x in (20.0, 50.0)]
    scene, masks = make_scene(*circles, ('circle', 'blue', 20.0, (80.0, 20.0)), ('star', 'blue', 25.0, (50.0, 70.0)))
    assert meanings(refer_to_several(scene, masks, np.random.default_rng(0))) == {
        (0, 1): {Expression(colour='red', kind='circle')},
        (0, 1, 2): {Expression(kind='circle')},
    }
    scene, masks = make_scene(*circles)
    assert meanings(refer_to_several(scene, masks, np.random.default_rng(0))) == {
        (0, 1): {Expression(colour='red', kind='circle'), Expression(kind='circle')}
    }


def test_a_hidden_shape_is_in_no_plural_and_what_it_is_is_neither_absent_nor_seen():
    scene, masks = make_scene(
        ('circle', 'red', 30.0, (30.0, 30.0)),
        ('square', 'blue', 40.0, (30.0, 30.0)),
        ('circle', 'blue', 34.0, (75.0, 75.0)),
        colours=('red', 'blue'),
        kinds=('circle', 'square'),
    )
    assert not masks[0].any()
    assert refer_to_several(scene, masks, np.random.default_rng(0)) == []
    # Of the pairs only the red square is not there; red is there, though nobody sees it.
    assert refer_to_none(scene, masks, np.random.default_rng(0)) == []


def test_what_is_absent_is_of_the_configs_colours_and_kinds():
    shapes = [('circle', 'red', 30.0, (30.0, 30.0)), ('square', 'blue', 34.0, (75.0, 75.0))]
    scene, masks = make_scene(*shapes, colours=('red', 'blue'), kinds=('circle', 'square'))
    (reference,) = refer_to_none(scene, masks, np.random.default_rng(0))
    assert {sentence.kind for sentence in reference.sentences} == {'absent_pair'}
    assert {(each.expression.colour, each.expression.kind) for each in reference.sentences} == {
        ('red', 'square'),
        ('blue', 'circle'),
    }
    scene, masks = make_scene(*shapes, colours=('red', 'blue'), kinds=('circle', 'square', 'star'))
    reference, _ = refer_to_none(scene, masks, np.random.default_rng(0))
    assert {each.expression.kind for each in reference.sentences} == {'star'}
