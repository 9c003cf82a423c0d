"""TextTokenizer: phrases, and captions with phrases in them, token by token."""

import re

import numpy as np
import pytest
from mmdet.structures.mask import BitmapMasks
from PIL import Image

from flmm.datasets import RefCOCO2PNG
from flmm.datasets.text_tokenizer import TextTokenizer
from flmm.structures import PhraseInfo

CAPTION, PHRASES = [0, ' sit  under', 1, '', '.'], ['Two Cats', ' a  <|image_pad|> Sky']


def tokenizer(wrapper, *, lowercase=True, max_phrase_tokens=256):
    return TextTokenizer(image_processor=wrapper, lowercase=lowercase, max_phrase_tokens=max_phrase_tokens)


def bytes_of(wrapper, text):
    """Ids of the single characters, as the tiny tokenizer has no merges."""
    return [id_ for character in text for id_ in wrapper.tokenizer(character, add_special_tokens=False)['input_ids']]


@pytest.mark.parametrize(('lowercase', 'written'), [(True, ['two cats', 'a b']), (False, ['Two Cats', 'A b'])])
def test_phrases_are_prepared_and_a_dot_is_between(wrapper, lowercase, written):
    pieces = tokenizer(wrapper, lowercase=lowercase).phrases(['Two Cats', ' A  b '], separated=True)
    first, second = (bytes_of(wrapper, text) for text in written)
    assert pieces == [(first, 0), (bytes_of(wrapper, '.'), -1), (second, 1)]
    apart = tokenizer(wrapper, lowercase=lowercase).phrases(['Two Cats', ' A  b '], separated=False)
    assert apart == [(first, 0), (second, 1)]


@pytest.mark.parametrize('lowercase', [True, False])
def test_a_caption_is_as_it_is_written(wrapper, lowercase):
    pieces = tokenizer(wrapper, lowercase=lowercase).caption(CAPTION, PHRASES)

    texts = ['Two Cats', ' sit  under', ' a  <|image_pad|> Sky', '', '.']
    expected = [bytes_of(wrapper, text) for text in texts]
    assert pieces == list(zip(expected, [0, -1, 1, -1, -1], strict=True))


@pytest.mark.parametrize(
    ('caption', 'phrases', 'message'),
    [
        ([0, ' a'], ['a', 'b'], 'its caption has the phrases [0], expected each of 2 once'),
        ([0, 0, 1], ['a', 'b'], 'its caption has the phrases [0, 0, 1], expected each of 2 once'),
        ([0, 2], ['a', 'b'], 'its caption has the phrases [0, 2], expected each of 2 once'),
        ([0], [' ,'], "phrase ' ,' has no letter or digit; fill it or leave it out"),
        ([0, '\ud800'], ['a'], "phrase '\\ud800' holds the lone surrogate"),
        ([0], ['abcde'], "phrase 'abcde' has 5 tokens, max_phrase_tokens is 4; shorten it, or raise the setting"),
    ],
)
def test_captions_that_cannot_be_are_refused(wrapper, caption, phrases, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        tokenizer(wrapper, max_phrase_tokens=4).caption(caption, phrases)


def item():
    masks = (np.random.default_rng(0).random((2, 60, 80)) < 0.5).astype(np.uint8)
    return {
        'img_path': 'cats.jpg',
        'image': Image.new('RGB', (80, 60)),
        'text': PHRASES,
        'caption': CAPTION,
        'phrase_infos': [PhraseInfo(plural=True), PhraseInfo(plural=False)],
        'gt_masks': BitmapMasks(masks, 60, 80),
    }


def test_the_sample_of_a_caption(wrapper):
    sample = RefCOCO2PNG(image_processor=wrapper, prompt='Where?').transform(item())

    prompt = wrapper.preprocess(item()['image'], prompt='Where?').input_ids.tolist()
    text = 'Two Cats sit  under a  <|image_pad|> Sky.'
    assert sample.input_ids.tolist() == prompt + bytes_of(wrapper, text)
    assert sample.mask_ids.tolist() == [-1] * len(prompt) + [0] * 8 + [-1] * 11 + [1] * 21 + [-1]
    assert sample.phrases == PHRASES
    assert not sample.independent  # whatever is said of phrases: the caption is one text
    assert [len(text) for text in sample.texts] == [len(text)]
    assert np.array_equal(sample.gt_masks.numpy(), item()['gt_masks'].to_ndarray().astype(bool))


def test_phrases_of_a_caption_stand_alone_where_they_are_split(wrapper):
    samples = RefCOCO2PNG(image_processor=wrapper, prompt='Where?', concat=False).transform(item())

    without = {key: value for key, value in item().items() if key != 'caption'}
    expected = RefCOCO2PNG(image_processor=wrapper, prompt='Where?', concat=False).transform(without)
    assert [sample.input_ids.tolist() for sample in samples] == [sample.input_ids.tolist() for sample in expected]
    assert all(sample.independent for sample in samples)
    assert [sample.phrase_infos for sample in samples] == [[PhraseInfo(plural=True)], [PhraseInfo(plural=False)]]


def test_the_text_of_a_caption_counts(wrapper):
    length = len(wrapper.preprocess(item()['image'], prompt='Where?').input_ids) - wrapper.num_image_tokens(60, 80) + 41
    RefCOCO2PNG(image_processor=wrapper, prompt='Where?', max_text_tokens=length).transform(item())
    with pytest.raises(
        ValueError, match=r"phrases \(the longest is ' a  <\|.*Sky'\) have \d+ tokens, max_text_tokens is"
    ):
        RefCOCO2PNG(image_processor=wrapper, prompt='Where?', max_text_tokens=length - 1).transform(item())
