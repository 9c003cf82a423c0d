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
from flmm.rle import decode_masks
from flmm.shapes import DIFFICULTY, generate_sample
from flmm.web.examples import SCENES, SEED, examples
from flmm.web.limits import Limits
from flmm.web.page import Page

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


def saved(image, path):
    image.save(path)
    return path


def test_the_demo_finds_what_the_examples_ask_for(demo_grounder):
    for index, example in zip(SCENES, examples(), strict=True):
        scene = generate_sample(index, seed=SEED, split='val', config=DIFFICULTY['medium'])
        truth = np.stack([scene.masks[list(reference.shape_indices)].any(0) for reference in scene.references])
        found = demo_grounder(example.image, example.phrases).masks.numpy()
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
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(layer))).convert('RGBA'))
        np.testing.assert_array_equal(pixels[..., 3] > 0, mask)
    words = re.findall(r'data-layer="(\d)"[^>]*>([^<]+)<', html)
    assert [word for _, word in words] == example.phrases
    assert line.startswith(f'{len(example.phrases)} phrases in ')


def test_coarse_and_refined_come_with_the_score(page):
    _, html, _ = page.find('the yellow heart', visitor='a')
    score = page.visits.of('a').found.scores[0]
    assert f'SAM expects an IoU of {score:.2f}' in html
    assert html.count('<figure>') == 2
    assert 'existence' not in html  # the demo does not judge it


def test_selected_words_have_the_mask_they_have_by_themselves(page, example):
    text = 'the yellow heart is there'
    html = page.span(text, 5, 12, visitor='a')
    (layer,) = re.findall(r'data-src="data:image/png;base64,([^"]+)"', html)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(layer))).convert('RGBA'))
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


def test_the_png_has_the_size_of_the_image(page, example):
    page.find('the yellow heart', visitor='a')
    file = io.BytesIO(base64.b64decode(page.png('a').removeprefix('data:image/png;base64,')))
    assert Image.open(file).size == example.image.size


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
    with pytest.raises(ValueError, match=r"^image 'large\.png' has 1001 x 1000 px, more than .*; make it smaller$"):
        page.read_file(path, visitor='a')


def test_a_name_is_shown_short_and_without_marks_that_turn_the_text(page, tmp_path):
    read = page.read_file(saved(Image.new('RGB', (60, 40)), tmp_path / f'{"a" * 90}\u202egnp.png'), visitor='a')
    assert read.name == f'{"a" * 52}?gnp.png'


def test_an_image_that_the_processor_refuses_is_named(page, tmp_path):
    path = saved(Image.new('RGB', (9000, 2)), tmp_path / 'line.png')
    with pytest.raises(ValueError, match=r"^image 'line\.png': absolute aspect ratio must be smaller than 200"):
        page.read_file(path, visitor='a')
