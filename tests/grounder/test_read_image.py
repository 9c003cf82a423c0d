"""An image that was read once: what is asked of it is what would have been asked with it."""

import numpy as np
import pytest
import torch
from tiny_families import build_grounder, build_wrapper
from tiny_grounder import tiny_grounder
from tiny_models import tiny_lmm
from tiny_reading import PHRASES, build_reader, photo

from flmm.datasets import RefCOCO2PNG, unlabelled_item
from flmm.grounder import Grounder, read_image

EXISTENCE = {'type': 'flmm.ExistenceHead', 'width': 8}
FIELDS = ('coarse', 'refined', 'scores', 'existence')


def logits(found, name):
    value = getattr(found, name)
    return value.in_image() if name in ('coarse', 'refined') else value


@pytest.fixture(scope='module')
def judging():
    return build_reader(tiny_grounder(existence=EXISTENCE))


@pytest.mark.parametrize('number', [1, 10, 100])
def test_a_phrase_depends_neither_on_the_others_nor_on_their_order(judging, number):
    read = judging.read(photo())
    phrases = [f'{PHRASES[index % 5]} {index}' for index in range(number)]
    generator = np.random.default_rng(0)
    order = generator.permutation(number)
    together, mixed = read.ground(phrases), read.ground([phrases[index] for index in order])
    assert together.phrases == phrases
    assert len(together) == len(together.masks) == number
    for index in generator.choice(number, min(number, 5), replace=False):
        alone = judging(photo(), [phrases[index]])
        place = int(np.flatnonzero(order == index)[0])
        for name in FIELDS:
            expected = logits(alone, name)[0]
            torch.testing.assert_close(logits(together, name)[index], expected, atol=1e-4, rtol=0)
            torch.testing.assert_close(logits(mixed, name)[place], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize('at_once', [1, 2, 5])
def test_what_is_asked_does_not_depend_on_how_many_go_together(judging, at_once, monkeypatch):
    read = judging.read(photo())
    expected = read.ground(PHRASES)
    monkeypatch.setattr(read_image, 'PHRASES_AT_ONCE', at_once)
    found = read.ground(PHRASES)
    for name in FIELDS:
        torch.testing.assert_close(logits(found, name), logits(expected, name), atol=3e-5, rtol=0)


def test_phrases_are_read_behind_the_image_as_the_model_reads_a_whole_sample(judging):
    (expected,) = judging.model([judging.to_sample.transform(unlabelled_item(photo(), PHRASES))], mode='predict')
    found = judging(photo(), PHRASES)
    torch.testing.assert_close(found.coarse.in_image(), expected.pred_masks, atol=3e-5, rtol=0)
    torch.testing.assert_close(found.refined.in_image(), expected.sam_pred_masks, atol=3e-5, rtol=0)
    torch.testing.assert_close(found.scores, expected.sam_scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.existence, expected.existence, atol=1e-5, rtol=0)
    assert torch.equal(found.exists, expected.exists)


def test_phrases_may_share_a_sequence():
    """Then it is the model's own forward over a sample of all phrases, in their order."""
    grounder = build_reader(independent=False)
    found = grounder(photo(), PHRASES)
    sample = grounder.to_sample.transform(unlabelled_item(photo(), PHRASES))
    assert not sample.independent
    (expected,) = grounder.model([sample], mode='predict')
    torch.testing.assert_close(found.coarse.in_image(), expected.pred_masks, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.refined.in_image(), expected.sam_pred_masks, atol=1e-5, rtol=0)
    alone = build_reader()(photo(), PHRASES)
    torch.testing.assert_close(alone.refined.in_image()[0], found.refined.in_image()[0], atol=3e-5, rtol=0)
    assert (alone.refined.in_image()[1] - found.refined.in_image()[1]).abs().max() > 1e-4  # it sees the one before it


def test_a_shared_sequence_is_never_split(monkeypatch):
    grounder = build_reader(independent=False)
    expected = grounder(photo(), PHRASES).refined.in_image()
    monkeypatch.setattr(read_image, 'PHRASES_AT_ONCE', 1)
    assert torch.equal(grounder(photo(), PHRASES).refined.in_image(), expected)


def test_the_tokens_of_all_phrases_stand_in_the_sample():
    grounder = build_reader()
    sample = grounder.read(photo()).sample(PHRASES)
    assert sample.gt_masks is sample.masks is None
    assert sample.tokens_per_mask == [len(phrase) for phrase in PHRASES]  # the tokenizer's are bytes
    for index, phrase in enumerate(PHRASES):
        tokens = sample.input_ids[sample.mask_ids == index].tolist()
        assert grounder.to_sample.image_processor.tokenizer.decode(tokens) == phrase


def test_samples_of_an_image_share_what_was_read_and_its_pixels():
    """A large image has 70 MB of patches; a hundred phrases would hold them a hundred times."""
    read = build_reader().read(photo())
    samples = [read.sample([phrase]) for phrase in PHRASES]
    assert {id(sample.reading) for sample in samples} == {id(read.reading)}
    assert {sample.lmm_inputs['pixel_values'].data_ptr() for sample in samples} == {
        read.processed.lmm_inputs['pixel_values'].data_ptr()
    }
    assert {id(sample.image) for sample in samples} == {id(read.image)}


@pytest.mark.parametrize(
    'phrases',
    [('a cat', 'dog'), np.array(['a cat', 'dog']), iter(['a cat', 'dog']), {'a cat': 1, 'dog': 2}],
    ids=lambda value: type(value).__name__,
)
def test_phrases_may_come_in_any_container(judging, phrases):
    read = judging.read(photo())
    found = read.ground(phrases)
    assert found.phrases == ['a cat', 'dog']
    assert torch.equal(found.refined.in_image(), read.ground(['a cat', 'dog']).refined.in_image())


@pytest.mark.parametrize(
    ('phrases', 'message'),
    [
        ([], 'has no phrase'),
        (['a', ''], "phrase '' has no letter or digit"),
        (None, 'has None for phrases; give a list'),
        (5, 'has 5 for phrases; give a list'),
        (np.array([]), 'has no phrase'),
        ('the star', "has the string 'the star' for phrases; give a list"),
        (b'the star', "has b'the star' for phrases; give a list"),
        (['a', None], 'phrase None'),
        (['a', 3], 'phrase 3'),
        (['a', 'b' * 257], 'has 257 tokens, max_phrase_tokens is 256'),
    ],
)
def test_unusable_phrases_are_named(judging, phrases, message):
    with pytest.raises(ValueError, match=f"image 'image'.*{message}"):
        judging(photo((56, 56)), phrases)


def test_without_an_existence_head_nothing_is_judged():
    found = build_reader()(photo(), ['a', 'b'])
    assert found.existence is found.exists is None
    assert torch.equal(found.masks, found.refined.in_image() > 0)


def test_masks_of_absent_phrases_are_empty_in_every_form(judging):
    read = judging.read(photo())
    existence = read.ground(PHRASES).existence
    threshold = float(existence.sort().values[2]) - 1e-5
    judging.model.existence_head.threshold.fill_(threshold)
    found = read.ground(PHRASES)
    judging.model.existence_head.threshold.fill_(0.5)
    assert found.exists.tolist() == (existence >= threshold).tolist()
    assert found.exists.sum() == 3
    absent = ~found.exists
    assert not found.masks[absent].any()
    assert not found.coarse_masks[absent].any()
    assert not found.boxes[absent].any()
    assert torch.equal(found.masks[found.exists], found.refined.in_image()[found.exists] > 0)


@pytest.mark.parametrize('settings', [{}, {'heads': [(1, 3), (0, 2)]}, {'layers': [1]}], ids=str)
def test_attention_of_words_is_that_of_the_eager_model(settings):
    grounder = build_reader(tiny_grounder(**settings))
    read = grounder.read(photo())
    found = read.attention('The  red one')
    sample = grounder.to_sample.transform(unlabelled_item(photo(), ['the red one']))
    eager = tiny_lmm()
    eager.set_attn_implementation('eager')
    with torch.no_grad():
        outputs = eager(
            input_ids=sample.input_ids[None],
            mm_token_type_ids=(sample.input_ids == sample.input_ids[sample.views[0].columns[0]]).int()[None],
            **sample.lmm_inputs,
            output_attentions=True,
        )
    assert found.channels == [(0, layer, head) for layer, heads in grounder.model.heads.items() for head in heads]
    assert found.maps.shape == (len(found.channels), *sample.grid_size)
    for (view, layer, head), channel in zip(found.channels, found.maps, strict=True):
        rows = outputs.attentions[layer][0, head, sample.mask_ids == 0]
        expected = rows[:, sample.views[view].columns].mean(dim=0).reshape(sample.grid_size)
        torch.testing.assert_close(channel, expected, atol=1e-5, rtol=0)
    assert torch.equal(found.maps, grounder.model.encode([read.sample(['the red one'])])[0].attentions[0])


def test_channels_of_two_views_are_view_after_view():
    model = build_grounder('llava_next', heads=[(0, 1), (1, 2)])
    to_sample = RefCOCO2PNG(image_processor=build_wrapper('llava_next'), prompt='Look.')
    read = Grounder(model=model, to_sample=to_sample).read(photo())
    assert read.attention('cat').channels == [(0, 0, 1), (0, 1, 2), (1, 0, 1), (1, 1, 2)]


@pytest.mark.parametrize('words', ['', ' . ', None, 7, ['a', 'b']])
def test_words_that_are_none_are_named(words):
    read = build_reader().read(photo())
    with pytest.raises(ValueError, match=r"image 'image'.*phrase .* (has no letter or digit|is of type)"):
        read.attention(words)


def test_coarse_masks_alone_are_those_of_grounding_and_no_part_of_sam_runs(judging, monkeypatch):
    expected = judging.read(photo()).ground(PHRASES)

    def refuse(*args, **kwargs):
        raise AssertionError('a part of SAM ran')

    monkeypatch.setattr(judging.model.sam, 'encode_images', refuse)
    monkeypatch.setattr(judging.model.sam, 'refine', refuse)
    monkeypatch.setattr(read_image, 'PHRASES_AT_ONCE', 2)
    found = judging.read(photo(), with_sam=False).coarse(PHRASES)
    torch.testing.assert_close(found.in_image(), expected.coarse.in_image(), atol=1e-4, rtol=0)
    with pytest.raises(AssertionError, match='a part of SAM ran'):
        judging.read(photo())


def test_an_image_that_was_read_without_sam_can_be_grounded(judging):
    found, expected = (judging.read(photo(), with_sam=with_sam).ground(PHRASES) for with_sam in (False, True))
    torch.testing.assert_close(found.refined.in_image(), expected.refined.in_image())
