"""Sentences mean exactly their shape: a parser that reads the text alone, not flmm's semantic form, agrees."""

import re
from collections import Counter

import numpy as np
import pytest
from shape_sentences import read

from flmm.shapes import (
    COLOURS,
    DIFFICULTY,
    EXPRESSION_KINDS,
    KINDS,
    VOCABULARY,
    Expression,
    Scene,
    SceneConfig,
    Shape,
    describe,
    generate_split,
    refer,
    render_scene,
    resolve,
    visible_fractions,
)


@pytest.fixture(scope='module')
def samples():
    return [
        sample
        for config in DIFFICULTY.values()
        for split in ('train', 'testA', 'testB')
        for sample in generate_split(seed=11, split=split, num_images=16, config=config)
    ]


def all_sentences(samples):
    return [
        (sample, *reference.shape_indices, sentence)
        for sample in samples
        for reference in sample.references
        for sentence in reference.sentences
    ]


def test_every_sentence_means_its_shape_and_no_other(samples):
    sentences = all_sentences(samples)
    assert len(sentences) > 1200
    for sample, index, sentence in sentences:
        assert read(sentence.text, sample.scene) == ({index}, sentence.kind), sentence.text
        assert resolve(sentence.expression, sample.scene) == [index]


def test_sentences_of_a_shape_are_of_different_kinds(samples):
    for sample in samples:
        indices = [index for reference in sample.references for index in reference.shape_indices]
        assert indices == sorted(set(indices))
        for reference in sample.references:
            kinds = [sentence.kind for sentence in reference.sentences]
            assert 1 <= len(kinds) == len(set(kinds)) <= 3


def test_all_kinds_occur_and_none_is_rare(samples):
    counts = Counter(sentence.kind for *_, sentence in all_sentences(samples))
    assert set(counts) == set(EXPRESSION_KINDS)
    assert min(counts.values()) > 0.04 * sum(counts.values())


def test_most_visible_shapes_are_referred_to(samples):
    shapes = sum(len(sample.scene.shapes) for sample in samples)
    assert sum(len(sample.references) for sample in samples) > 0.9 * shapes


def test_vocabulary_is_closed_and_small(samples):
    words = {word for *_, sentence in all_sentences(samples) for word in sentence.text.split()}
    for sample in samples:
        for panoptic in (False, True):
            words |= {
                word for part in describe(sample.scene, sample.masks, panoptic=panoptic) for word in part.text.split()
            }
    assert words <= set(VOCABULARY)
    assert set(VOCABULARY) - words <= {'four', 'five', 'six'} | {f'{kind}s' for kind in KINDS} | {'crosses'}
    assert len(VOCABULARY) == 54
    assert all(re.fullmatch('[a-z]+', word) for word in VOCABULARY)


def test_wording_varies(samples):
    texts = [sentence.text for *_, sentence in all_sentences(samples)]
    share = sum(text.startswith('the ') for text in texts) / len(texts)
    assert 0.4 < share < 0.6
    for wording in (' to the left of ', ' left of the ', 'leftmost ', ' on the left', 'big ', 'largest ', 'smaller '):
        assert any(wording in text for text in texts), wording


# Margins, on scenes of 100 x 100 px made by hand.


def make_scene(*shapes):
    made = [
        Shape(kind=kind, colour=colour, rgb=COLOURS[colour], size=size, centre=centre, rotation=0.0)
        for kind, colour, size, centre in shapes
    ]
    config = SceneConfig(outline=0, noise=0.0, num_patches=(0, 0))
    return Scene(height=100, width=100, shapes=tuple(made), config=config)


@pytest.mark.parametrize(('size', 'found'), [(29.0, []), (31.5, [1])])
def test_sizes_must_differ_clearly(size, found):
    scene = make_scene(('circle', 'red', 24.0, (20.0, 20.0)), ('circle', 'blue', size, (60.0, 60.0)))
    assert resolve(Expression(kind='circle', size='biggest'), scene) == found
    assert resolve(Expression(kind='circle', size='bigger'), scene) == found


def test_longer_but_of_less_area_is_not_bigger():
    scene = make_scene(('square', 'red', 24.0, (20.0, 20.0)), ('star', 'blue', 33.0, (60.0, 60.0)))
    assert resolve(Expression(size='biggest'), scene) == []
    assert resolve(Expression(size='smallest'), scene) == []


def test_comparatives_are_for_two():
    scene = make_scene(*[('circle', 'red', size, (size, 50.0)) for size in (15.0, 25.0, 40.0)])
    assert resolve(Expression(kind='circle', size='biggest'), scene) == [2]
    assert resolve(Expression(kind='circle', size='bigger'), scene) == []


@pytest.mark.parametrize(('x', 'found'), [(28.0, []), (32.0, [0]), (80.0, [0])])
def test_sides_must_differ_clearly(x, found):
    scene = make_scene(('circle', 'red', 10.0, (20.0, 20.0)), ('star', 'blue', 10.0, (x, 70.0)))
    assert resolve(Expression(side='left'), scene) == found


def test_extreme_lies_in_its_half():
    scene = make_scene(('circle', 'red', 10.0, (60.0, 20.0)), ('star', 'blue', 10.0, (90.0, 70.0)))
    assert resolve(Expression(side='left'), scene) == []
    assert resolve(Expression(side='right'), scene) == [1]
    assert resolve(Expression(colour='blue', side='right'), scene) == []  # one alone has nothing to be right of


@pytest.mark.parametrize(
    ('centre', 'found'),
    [((20.0, 45.0), [0]), ((44.0, 50.0), []), ((30.0, 75.0), []), ((70.0, 50.0), [])],
    ids=['left', 'hardly left', 'more below than left', 'right'],
)
def test_relations_must_be_clear(centre, found):
    scene = make_scene(('circle', 'red', 10.0, centre), ('star', 'blue', 10.0, (50.0, 50.0)))
    assert resolve(Expression(kind='circle', relation='left', anchor=Expression(kind='star')), scene) == found


def test_one_unclear_rival_spoils_a_relation():
    target, star = ('circle', 'red', 10.0, (20.0, 50.0)), ('star', 'blue', 10.0, (50.0, 50.0))
    expression = Expression(kind='circle', relation='left', anchor=Expression(kind='star'))
    assert resolve(expression, make_scene(target, star, ('circle', 'red', 10.0, (80.0, 50.0)))) == [0]
    assert resolve(expression, make_scene(target, star, ('circle', 'red', 10.0, (45.0, 10.0)))) == []
    assert resolve(expression, make_scene(target, star, ('star', 'red', 10.0, (80.0, 50.0)))) == []  # which star?


def test_hidden_shapes_are_not_referred_to_but_count_as_rivals():
    scene = make_scene(
        ('circle', 'red', 30.0, (30.0, 30.0)),
        ('square', 'blue', 40.0, (30.0, 30.0)),
        ('circle', 'red', 34.0, (75.0, 75.0)),
    )
    _, masks = render_scene(scene, np.random.default_rng(0))
    assert visible_fractions(scene, masks)[0] == 0
    references = refer(scene, masks, np.random.default_rng(0))
    assert [reference.shape_indices for reference in references] == [(1,), (2,)]
    kinds = {sentence.kind for sentence in references[1].sentences}
    assert kinds.isdisjoint({'colour', 'kind'})  # there are two red circles, though one cannot be seen


def test_captions_name_every_visible_shape_once(samples):
    for sample in samples:
        scene = sample.scene
        visible = {i for i, share in enumerate(visible_fractions(scene, sample.masks)) if share >= 0.5}
        parts = describe(scene, sample.masks)
        named = [index for part in parts for index in part.shape_indices]
        assert len(named) == len(set(named))
        assert set(named) == {i for i in visible if sample.masks[i].sum() >= 150}
        assert [scene.shapes[i].centre[0] for i in named] == sorted(scene.shapes[i].centre[0] for i in named)
        phrases = ''.join(part.text for part in parts).split(' and ')
        for index, phrase in zip(named, phrases, strict=True):
            shape = scene.shapes[index]
            noun, place = re.fullmatch(r'(the \w+ \w+) (?:at the|on the|in the) (.+)', phrase).groups()
            assert noun == f'the {shape.colour} {shape.kind}'
            x, y = shape.centre[0] / scene.width, shape.centre[1] / scene.height
            assert ('left' in place, 'right' in place) == (x < 1 / 3, x > 2 / 3)
            assert ('top' in place, 'bottom' in place) == (y < 1 / 3, y > 2 / 3)


def test_panoptic_captions_count_equal_shapes_and_close_with_the_background():
    scene = make_scene(
        ('circle', 'red', 20.0, (20.0, 20.0)),
        ('star', 'blue', 30.0, (50.0, 50.0)),
        ('circle', 'red', 20.0, (80.0, 80.0)),
    )
    _, masks = render_scene(scene, np.random.default_rng(0))
    parts = describe(scene, masks, panoptic=True)
    assert (
        ''.join(part.text for part in parts) == 'the two red circles and the blue star in the middle and the background'
    )
    assert [(part.text, part.shape_indices, part.plural) for part in parts if part.noun] == [
        ('the two red circles', (0, 2), True),
        (' the blue star', (1,), False),
        (' the background', (), False),
    ]
    assert ''.join(part.text for part in describe(scene, masks)) == (
        'the red circle at the top left and the blue star in the middle and the red circle at the bottom right'
    )


def test_nothing_visible_gives_an_empty_caption():
    scene = make_scene(('circle', 'red', 8.0, (20.0, 20.0)))
    _, masks = render_scene(scene, np.random.default_rng(0))
    assert describe(scene, masks) == []
    assert [part.text for part in describe(scene, masks, panoptic=True)] == ['the background']
