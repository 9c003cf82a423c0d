"""What the functions behind the page return, with the demo's model."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Qwen2VLImageProcessor

from flmm.apt import PatchSelection, PatchTokenizer
from flmm.grounder import Grounder, ReadImage, demo_folder
from flmm.rle import decode_masks
from flmm.shapes import DIFFICULTY, generate_sample
from flmm.web import page as page_module
from flmm.web.examples import SCENES, SEED, examples
from flmm.web.limits import Limits
from flmm.web.page import Page
from flmm.web.views import as_text

BUDGET = {
    'patch_selection_method': 'budget', 'alpha': 0.3, 'method': 'laplacian', 'laplacian_aggregate': 'mean', 'blur': 1,
    'max_token_size': 4,
}  # fmt: skip


@pytest.fixture(scope='module')
def example():
    return examples()[0]


@pytest.fixture
def page(demo_grounder, example):
    page = Page(grounder=demo_grounder, limits=Limits(max_pixels=1_000_000, visitors=2, phrases=5))
    page.read(example.image, name='example', visitor='a')
    return page


def opened(layer):
    return Image.open(io.BytesIO(base64.b64decode(layer)))


def saved(image, path):
    image.save(path)
    return path


@pytest.fixture(scope='module')
def judging_grounder():
    return Grounder.from_pretrained(demo_folder())


def test_what_is_not_there_has_no_mask_and_says_so(judging_grounder, example):
    page = Page(grounder=judging_grounder, limits=Limits())
    page.read(example.image, name='example', visitor='a')
    html, coarse, _ = page.find('the yellow heart\nthe purple star', visitor='a')
    masks = page.visits.of('a').found.masks
    assert masks.flatten(1).any(dim=1).tolist() == [True, False]
    assert '<bdi>the purple star</bdi><small>, not there</small>' in html
    assert html.count('not there') == coarse.count('not there') == 1


def test_the_demo_finds_what_the_examples_ask_for(judging_grounder):
    for index, example in zip(SCENES, examples(), strict=True):
        scene = generate_sample(index, seed=SEED, split='val', config=DIFFICULTY['medium'])
        truth = np.stack([scene.masks[list(reference.shape_indices)].any(0) for reference in scene.references])
        found = judging_grounder(example.image, example.phrases).masks.numpy()
        ious = (found & truth).sum((1, 2)) / (found | truth).sum((1, 2))
        assert ious.min() > 0.85


def test_the_rle_is_that_of_the_masks(page, example):
    page.find('\n'.join(example.phrases), visitor='a')
    rles = json.loads(page.rle('a'))
    assert [rle['phrase'] for rle in rles] == example.phrases
    expected = page.grounder(example.image, example.phrases).masks.numpy()
    np.testing.assert_array_equal(decode_masks(rles), expected)


def test_layers_are_the_masks_in_the_order_of_the_words(page, example):
    html, _, line = page.find('\n'.join(example.phrases), visitor='a')
    layers = re.findall(r'class="flmm-layer" data-of="(\d)" src="data:image/png;base64,([^"]+)"', html)
    assert [int(number) for number, _ in layers] == list(range(len(example.phrases)))
    masks = page.visits.of('a').found.masks.numpy()
    for (_, layer), mask in zip(layers, masks, strict=True):
        pixels = np.asarray(opened(layer).convert('RGBA'))
        np.testing.assert_array_equal(pixels[..., 3] > 0, mask)
    words = re.findall(r'data-layer="(\d)"[^>]*><bdi>([^<]+)<', html)
    assert [word for _, word in words] == example.phrases
    assert line.startswith(f'{len(example.phrases)} phrases in ')


def test_coarse_and_refined_come_with_the_score(page):
    _, html, _ = page.find('the yellow heart', visitor='a')
    found = page.visits.of('a').found
    assert f'SAM expects an IoU of {found.scores[0]:.2f}; existence {found.existence[0]:.2f}' in html
    assert html.count('<figure>') == 2


def test_selected_words_have_the_mask_they_have_by_themselves(page, example):
    text = 'the yellow heart is there'
    html = page.span(text, 5, 12, visitor='a')
    (layer,) = re.findall(r'data-src="data:image/png;base64,([^"]+)"', html)
    pixels = np.asarray(opened(layer).convert('RGBA'))
    mask = page.grounder(example.image, ['yellow heart']).masks[0].numpy()
    np.testing.assert_array_equal(pixels[..., 3] > 0, mask)
    assert '>yellow heart<' in html
    assert page.span(text, 3, 4, visitor='a') == ''


@pytest.mark.parametrize(
    'settings',
    [
        {},
        {'alpha': 0.7, 'method': 'entropy'},
        {'patch_selection_method': 'v2', 'alpha': 1.2, 'max_token_size': 2},
        {'patch_selection_method': 'v1', 'blur': 5},
        {'patch_selection_method': 'none'},
    ],
)
def test_the_tokens_are_those_of_the_patch_tokenizer(page, example, settings):
    settings = BUDGET | settings
    html = page.patches(visitor='a', **settings)
    wrapper = page.grounder.to_sample.image_processor
    stock = Qwen2VLImageProcessor.from_dict(wrapper.processor.image_processor.to_dict())
    read = stock(
        images=example.image, size=wrapper.size, do_rescale=False, do_normalize=False, return_tensors='pt',
    )  # fmt: skip
    _, rows, columns = read['image_grid_thw'][0].tolist()
    side, m = stock.patch_size, stock.merge_size
    patches = read['pixel_values'].reshape(rows // m, columns // m, m, m, 3, stock.temporal_patch_size, side, side)
    pixels = patches[:, :, :, :, :, 0].permute(4, 0, 2, 5, 1, 3, 6).reshape(1, 3, rows * side, columns * side)
    if settings['patch_selection_method'] in ('v1', 'none'):
        settings['alpha'] = 1.0
    tokenizer = PatchTokenizer(selection=PatchSelection(**settings), patch_size=side, merge_size=m)
    _, (layout,) = tokenizer(pixels.to(torch.uint8))
    kept, dense = re.search(r'<b>([\d,]+)</b> of ([\d,]+) tokens kept', html).groups()
    assert (int(kept), int(dense)) == (len(layout), rows * columns // m**2)
    by_size = [int(count) for count in re.findall(r'<li[^>]*><b>([\d,]+)</b>', html)]
    assert by_size == [int((layout.tokens[:, 2] == size).sum()) for size in (1, 2, 4)]


def test_the_png_is_the_overlay_of_what_was_found(page, example):
    page.find('the yellow heart\nthe blue circle', visitor='a')
    picture = opened(page.png('a').removeprefix('data:image/png;base64,'))
    expected = page.grounder(example.image, ['the yellow heart', 'the blue circle']).overlay()
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected))


ANSWER = '\U0001f600 狗: the yellow heart and\r\n<b>the bottom shape</b>. The heart!'


@pytest.fixture
def said(page, monkeypatch):
    """Has the page answer a question by :data:`ANSWER`; gives what it shows of words that are selected in it."""
    monkeypatch.setattr(ReadImage, 'chat', lambda read, question: read.given_answer(question, ANSWER))
    key = re.search(r'data-key="(\w+)"', page.talk('What is there?', visitor='a'))[1]

    def select(words, *, key=key, from_behind=False):
        start = (ANSWER.rindex if from_behind else ANSWER.index)(words)
        start = len(ANSWER[:start].encode('utf-16-le')) // 2
        return page.said(key, start, start + len(words.encode('utf-16-le')) // 2, visitor='a')

    return select


@pytest.mark.parametrize(
    ('words', 'from_behind', 'span'),
    [
        ('狗', False, (2, 3)),
        ('ellow hea', False, (9, 21)),
        ('heart', False, (16, 21)),
        ('heart', True, (56, 61)),
        ('and\r\n<b>the bottom', False, (22, 40)),
    ],
)
def test_words_selected_in_an_answer_have_their_mask_where_they_stand(page, example, said, words, from_behind, span):
    html = said(words, from_behind=from_behind)
    answer = page.grounder.read(example.image).given_answer('What is there?', ANSWER)
    found = answer.ground([span])
    (layer,) = re.findall(r'data-src="data:image/png;base64,([^"]+)"', html)
    np.testing.assert_array_equal(np.asarray(opened(layer).convert('RGBA'))[..., 3] > 0, found.masks[0].numpy())
    assert f'<bdi>{as_text(found.phrases[0])}</bdi>' in html
    assert words.strip() in found.phrases[0]


def test_the_same_word_at_two_places_is_read_behind_what_is_said_before_it(said):
    assert said('heart') != said('heart', from_behind=True)


def test_words_without_a_letter_or_of_another_answer_are_an_error(page, example, said):
    with pytest.raises(ValueError, match='has no letter or digit'):
        said('\U0001f600')
    with pytest.raises(ValueError, match='there are no words in the selection'):
        said(' ')
    gone = 'these words are of an answer that is gone; ask again, then select some'
    with pytest.raises(ValueError, match=gone):
        said('heart', key='')
    page.talk('Once more?', visitor='a')
    with pytest.raises(ValueError, match=gone):
        said('heart')
    page.read(example.image, name='again', visitor='a')
    with pytest.raises(ValueError, match=gone):
        said('heart', key='')
    page.visits.drop('a')
    with pytest.raises(ValueError, match='there is no image of yours here'):
        said('heart')


@pytest.mark.parametrize(
    'call',
    [
        lambda page: page.find('the heart', visitor='a'),
        lambda page: page.span('the heart', 0, 3, visitor='a'),
        lambda page: page.attention('the heart', visitor='a'),
        lambda page: page.patches(visitor='a', **BUDGET),
        lambda page: page.talk('What is there?', visitor='a'),
    ],
)
def test_what_was_asked_about_an_image_is_not_shown_with_another(page, monkeypatch, call):
    """Another image comes while the model works: its masks are not mixed with those of the one before."""

    def show(*_, **__):
        page.read(examples()[1].image, name='other', visitor='a')
        return 'shown'

    for name in ('masks_view', 'span_view', 'attention_view', 'patches_view', 'talk_view'):
        monkeypatch.setattr(page_module, name, show)
    monkeypatch.setattr(ReadImage, 'chat', lambda read, question: read.given_answer(question, 'A heart.'))
    with pytest.raises(ValueError, match='another image came while this one was asked about; ask again about that'):
        call(page)
    visit = page.visits.of('a')
    assert (visit.read.name, visit.found, visit.answer) == ('other', None, None)


def test_what_is_found_while_an_example_is_read_is_of_the_image_before(page, example, monkeypatch):
    """Of two calls that overlap, the one that ends last is what the page shows, and what RLE and PNG are of."""
    drawn = page_module.masks_view

    def draw(found):
        if found.phrases == examples()[1].phrases:
            page.find('the yellow heart', visitor='a')  # somebody presses Find meanwhile
            assert page.visits.of('a').found.image.size == example.image.size
        return drawn(found)

    monkeypatch.setattr(page_module, 'masks_view', draw)
    page.example(examples()[1], visitor='a')
    assert [rle['phrase'] for rle in json.loads(page.rle('a'))] == examples()[1].phrases


def test_text_of_visitors_is_text(page):
    text = '<img src=x onerror=alert(1)> "red" {{7*7}}'
    for html in (
        *page.find(text, visitor='a')[:2],
        page.attention(text, visitor='a'),
        page.span(text, 0, 90, visitor='a'),
    ):
        assert '<img src=x' not in html
        assert '&lt;img src=x onerror=alert(1)&gt; &quot;red&quot; {{7*7}}' in html


def test_of_each_visitor_the_last_image_is_asked(page, example):
    other = examples()[1].image
    page.read(other, name='other', visitor='b')
    page.find('the yellow heart', visitor='a')
    assert page.visits.of('a').found.image.size == example.image.size
    page.read(other, name='other', visitor='a')
    with pytest.raises(ValueError, match='nothing was looked for in this image yet; find some phrases first'):
        page.rle('a')
    page.read(example.image, name='example', visitor='c')
    with pytest.raises(ValueError, match='upload it again: the images of the last 2 visitors are kept'):
        page.find('the yellow heart', visitor='b')


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda page: page.find('', visitor='a'), 'there is no phrase'),
        (lambda page: page.find('???', visitor='a'), "phrase '\\?\\?\\?' has no letter or digit"),
        (lambda page: page.find('a b ' * 300, visitor='a'), 'tokens'),
        (lambda page: page.find('a\n' * 6, visitor='a'), 'there are 6 phrases; ask for at most 5 at once'),
        (lambda page: page.attention(' ', visitor='a'), "there is no text in the box 'words'"),
        (lambda page: page.attention('x' * 3000, visitor='a'), 'the text has 3,000 characters'),
        (lambda page: page.patches(visitor='a', **BUDGET | {'alpha': 3}), 'alpha is 3, expected a share'),
        (lambda page: page.patches(visitor='a', **BUDGET | {'blur': 2}), 'blur is 2'),
        (lambda page: page.span('a star', -3, 2, visitor='a'), 'is not made of two whole numbers from 0 on'),
        (lambda page: page.talk('a \ud83d', visitor='a'), 'holds the lone surrogate'),
        (lambda page: page.find('a \ud83d', visitor='a'), 'holds the lone surrogate'),
        (lambda page: page.talk('', visitor='a'), "there is no text in the box 'question'"),
        (lambda page: page.rle('a'), 'nothing was looked for'),
        (lambda page: page.png('stranger'), 'there is no image of yours here'),
        (lambda page: page.picture('stranger'), 'there is no image of yours here'),
    ],
)
def test_what_is_wrong_is_said(page, call, message):
    with pytest.raises(ValueError, match=message):
        call(page)


def test_a_large_image_is_refused_by_its_header(page, tmp_path):
    path = saved(Image.new('1', (1001, 1000)), tmp_path / 'large.png')
    with pytest.raises(ValueError, match=r"^image 'large\.png' has 1001 x 1000 px, more than .*; make it smaller"):
        page.read_file(path, visitor='a')


def test_a_name_is_shown_short_and_without_marks_that_turn_the_text(page, tmp_path):
    read = page.read_file(saved(Image.new('RGB', (60, 40)), tmp_path / f'{"a" * 90}\u202egnp.png'), visitor='a')
    assert read.name == f'{"a" * 52}?gnp.png'


def test_an_image_that_the_processor_refuses_is_named(page, tmp_path):
    path = saved(Image.new('RGB', (9000, 2)), tmp_path / 'line.png')
    with pytest.raises(ValueError, match=r"^image 'line\.png': absolute aspect ratio must be smaller than 200"):
        page.read_file(path, visitor='a')
