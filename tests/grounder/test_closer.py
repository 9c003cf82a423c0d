"""A closer look at a region: the three readings against the stock and adaptive models, the object, and the errors."""

import math
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_adaptive import MODELS
from tiny_families import build_grounder, build_wrapper
from tiny_models import FAMILIES

from flmm import Grounder
from flmm.datasets import RefCOCO2PNG
from flmm.grounder.closer import WAYS
from flmm.grounder.region import WHICH_OBJECT, in_whole_image, region_around
from flmm.models.prefix_cache import CACHE

pytestmark = pytest.mark.usefixtures('on_one_thread')

BOX = (40, 30, 96, 100)
SETTINGS = {'min_pixels': 56 * 56, 'max_pixels': 168 * 168}


def photo(size=(200, 160), seed=0):
    """Noise that differs from place to place, (width, height) px."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (9, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def read_image(family='qwen2_5_vl', image=None, **settings):
    qwen = SETTINGS if family.startswith('qwen') else {}
    wrapper = build_wrapper(family, **qwen, **settings)
    to_sample = RefCOCO2PNG(image_processor=wrapper, prompt='Look.', concat=True, independent=True)
    return Grounder(model=build_grounder(family), to_sample=to_sample).read(image or photo())


# The readings


def test_masks_of_a_crop_lie_where_the_crop_was():
    image = photo()
    crop = image.crop(BOX)
    found = read_image(image=crop).ground(['a', 'b'])
    pasted = in_whole_image(found, box=BOX, image=image)
    expected = torch.zeros(2, 160, 200, dtype=torch.bool)
    expected[:, 30:100, 40:96] = found.masks
    assert found.masks.any()
    assert torch.equal(pasted.masks, expected)
    coarse = torch.zeros(2, 160, 200, dtype=torch.bool)
    coarse[:, 30:100, 40:96] = found.coarse_masks
    assert torch.equal(pasted.coarse_masks, coarse)
    assert torch.equal(pasted.boxes, found.boxes + torch.tensor([40, 30, 40, 30]))
    assert (pasted.phrases, pasted.image) == (found.phrases, image)


def test_a_crop_is_read_as_an_image_of_its_own():
    read = read_image()
    closer = read.chat_closer('What?', box=BOX, how='crop', scale=1.5, max_new_tokens=6)
    # 200 x 160 px are read at 168 x 140, so 56 x 70 px at 1.5^2 * 0.735 times their area: 72 x 90, to whole units.
    (view,) = closer.answer.read.processed.views
    assert read.processed.views[0].layout.grid_size == (5, 6)
    assert view.layout.grid_size == (3, 3)
    assert closer.num_image_tokens == 9
    assert closer.scale == pytest.approx(math.sqrt((84 * 84) / (56 * 70) / (168 * 140 / (200 * 160))))
    assert closer.answer.read.image.tobytes() == photo().crop(BOX).tobytes()
    resized = photo().crop(BOX).resize((84, 84), Image.Resampling.BICUBIC)
    alone = read.grounder.read(resized)
    assert torch.equal(
        alone.processed.lmm_inputs['pixel_values'], closer.answer.read.processed.lmm_inputs['pixel_values']
    )
    assert torch.equal(closer.answer.token_ids, alone.chat('What?', max_new_tokens=6).token_ids)


@pytest.mark.parametrize('family', FAMILIES)
def test_two_images_in_a_chat_are_the_stock_models_own(family):
    read = read_image(family)
    closer = read.chat_closer('What?', box=BOX, how='image_and_crop', scale=2.0, max_new_tokens=8)
    processor, lmm = read.grounder.to_sample.image_processor, read.grounder.model.lmm
    whole, crop = (
        processor.read_image(photo()),
        processor.read_image(photo().crop(BOX), num_pixels=crop_pixels(read, 2.0)),
    )
    counts = whole[1], crop[1]
    text = '<|im_start|>user\n'
    text += ''.join(f'<|vision_start|>{"<|image_pad|>" * count}<|vision_end|>' for count in counts)
    text += 'What?<|im_end|>\n<|im_start|>assistant\n'
    ids = processor.tokenizer(text, return_tensors='pt')['input_ids']
    inputs = {
        'input_ids': ids,
        'attention_mask': torch.ones_like(ids),
        'mm_token_type_ids': (ids == processor.image_token_id).int(),
        **{name: torch.cat([whole[0][name], crop[0][name]]) for name in ('pixel_values', 'image_grid_thw')},
    }
    expected = lmm.generate(**inputs, do_sample=False, max_new_tokens=8)
    assert torch.equal(closer.answer.prompt_ids, ids[0])
    assert closer.num_image_tokens == sum(counts)
    assert torch.equal(closer.answer.token_ids, expected[0, ids.shape[1] :])
    # What a random model says may depend on little; what it keeps does not.
    with torch.no_grad():
        kept = lmm(**inputs, use_cache=True)[CACHE]
    prefix = closer.answer.read.image_prefix
    for layer, keys in enumerate(prefix.keys):
        if keys is not None:
            length = len(prefix.input_ids)
            torch.testing.assert_close(keys, kept.layers[layer].keys[:, :, :length], rtol=1e-4, atol=2e-5)
            torch.testing.assert_close(
                prefix.values[layer], kept.layers[layer].values[:, :, :length], rtol=1e-4, atol=2e-5
            )


@pytest.mark.parametrize('family', FAMILIES)
def test_a_layout_is_the_adaptive_models_own(family):
    read = read_image(family)
    closer = read.chat_closer('What?', box=BOX, how='layout', scale=2.0, max_new_tokens=8)
    processed, lmm = closer.answer.read.processed, read.grounder.model.lmm
    (view,) = processed.views
    adaptive = MODELS[family](lmm.config).eval()
    adaptive.load_state_dict(lmm.state_dict())
    ids = closer.answer.prompt_ids[None]
    expected = adaptive.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == lmm.config.image_token_id).int(),
        image_layout=view.layout.tokens,
        image_num_tokens=torch.tensor([len(view.layout)]),
        **processed.lmm_inputs,
        do_sample=False,
        max_new_tokens=8,
    )
    assert torch.equal(closer.answer.token_ids, expected[0, ids.shape[1] :])


@pytest.mark.parametrize(('scale', 'least', 'most'), [(1.0, 34, 36), (2.0, 34, 36), (2.5, 69, 69)])
def test_a_layout_is_fine_in_the_region_and_has_about_as_many_tokens_as_at_first(scale, least, most):
    read = read_image(image=photo((448, 448)))
    closer = read.chat_closer('What?', box=(100, 150, 160, 200), how='layout', scale=scale, max_new_tokens=1)
    (view,) = closer.answer.read.processed.views
    h, w = view.layout.grid_size
    assert h == w == int(6 * scale)
    assert closer.scale == pytest.approx(h / 6)
    sizes = view.layout.to_dense(view.layout.tokens[:, 2].float(), mode='copy')
    rows, columns = slice(150 * h // 448, -(-200 * h // 448)), slice(100 * w // 448, -(-160 * w // 448))
    assert (sizes[rows, columns] == 1).all()
    # At 2.5 times the grid has 15 rows, so that the last three are single units, whatever one asks for.
    assert least <= closer.num_image_tokens == len(view.layout) <= most
    assert scale == 1.0 or sizes.max() > 1
    # SAM's encoder does not run again: it sees the same image.
    assert closer.answer.read.reading.image_embedding is read.reading.image_embedding


def test_a_pruned_reading_has_a_layout_of_as_many_tokens():
    read = read_image(image=photo((448, 448)), patch_selection_method='budget', alpha=0.5)
    closer = read.chat_closer('What?', box=(100, 150, 160, 200), how='layout', max_new_tokens=1)
    assert len(read.processed.views[0].columns) == 18
    # 12 x 12 units: nine tokens of 4x4, of which the region (rows 4 and 5, columns 2 to 4) touches two, and of their
    # parts of 2x2 two again. Four splits add three tokens each: 21, more than the 18 at first.
    assert closer.num_image_tokens == 21


def crop_pixels(read, scale):
    """The area in px at which the box is read, by hand."""
    h, w = read.processed.views[0].layout.grid_size
    unit = 2 * read.grounder.to_sample.image_processor.image_processor.patch_size
    share = (BOX[2] - BOX[0]) * (BOX[3] - BOX[1]) / (200 * 160)
    return min(max(round(scale**2 * h * w * unit**2 * share), 56 * 56), 168 * 168)


@pytest.mark.parametrize('how', WAYS)
def test_words_of_the_answer_are_grounded_in_the_whole_image(how):
    read = read_image()
    closer = read.chat_closer('What?', box=BOX, how=how, max_new_tokens=6)
    answer = read.given_answer('What?', 'a cat')  # letters, unlike what a random model says
    closer.answer.__dict__.update(token_ids=answer.token_ids, _tagged=answer._tagged, _offsets=answer._offsets)
    found = closer.ground([(2, 5)])
    assert found.masks.shape == (1, 160, 200)
    assert found.phrases == ['cat']
    if how == 'crop':
        inside = torch.zeros(160, 200, dtype=torch.bool)
        inside[30:100, 40:96] = True
        assert not (found.masks & ~inside).any()


@pytest.mark.parametrize('family', ['llava', 'deepseek_vl'])
def test_other_families_read_crops(family):
    read = read_image(family)
    closer = read.chat_closer('What?', box=BOX, max_new_tokens=4)
    expected = read.grounder.read(photo().crop(BOX)).chat('What?', max_new_tokens=4)
    assert torch.equal(closer.answer.token_ids, expected.token_ids)
    assert closer.num_image_tokens == int((expected.prompt_ids == read.grounder.model.lmm.config.image_token_id).sum())
    for changes in ({'how': 'layout'}, {'how': 'image_and_crop'}, {'scale': 2.0}):
        with pytest.raises(ValueError, match=r"for Qwen-VL models, not for a \w+; take how='crop' and leave scale out"):
            read.chat_closer('What?', box=BOX, **changes)


# The object


def test_the_region_is_where_the_object_is_found():
    read = read_image()
    closer = read.chat_closer('What?', about='a cat', margin=0.1, min_side=20, max_new_tokens=2)
    (mask,) = read.ground(['a cat']).masks
    assert closer.region.box == region_around(mask, margin=0.1, min_side=20)
    assert (closer.region.about, closer.region.asked) == ('a cat', None)
    assert torch.equal(closer.region.found.masks[0], mask)


@pytest.mark.parametrize(
    ('said', 'about'), [('It is the red cup on a table.', 'the red cup'), ('See <p>a table</p>, not it.', 'a table')]
)
def test_the_lmm_says_which_object_matters(said, about, monkeypatch):
    read = read_image()
    asked = []
    monkeypatch.setattr(read, 'chat', lambda question: asked.append(question) or read.given_answer(question, said))
    closer = read.chat_closer('What colour is it?', max_new_tokens=2)
    assert asked == [WHICH_OBJECT.format(question='What colour is it?')]
    assert closer.region.about == about
    answer = read.given_answer(asked[0], said)
    start = answer.text.index(about)
    (mask,) = answer.ground([(start, start + len(about))]).masks
    assert torch.equal(closer.region.found.masks[0], mask)


def test_nothing_is_found_or_named(monkeypatch):
    read = read_image()
    model = read.grounder.model
    predict = model.forward
    monkeypatch.setattr(read, 'chat', lambda question: read.given_answer(question, '...'))
    with pytest.raises(ValueError, match=r"the LMM names no object for 'What\?', it says '\.\.\.'; name one by about"):
        read.chat_closer('What?')
    absent = torch.zeros(1, dtype=torch.bool)
    monkeypatch.setattr(
        model,
        'forward',
        lambda *a, **kw: [s.with_outputs(existence=absent.float(), exists=absent) for s in predict(*a, **kw)],
    )
    with pytest.raises(ValueError, match="nothing was found of 'a cat' in image 'image', so there is no region"):
        read.chat_closer('What?', about='a cat')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'how': 'zoom'}, "how is 'zoom', expected one of crop, image_and_crop, layout"),
        ({'scale': 0}, 'scale is 0, expected a factor above 0'),
        ({'about': 'a cat', 'box': BOX}, r"about is 'a cat' and box is \(40, 30, 96, 100\); give one of them"),
        ({'box': (40, 30, 201, 100)}, r'expected 0 <= left < right <= 200 and 0 <= top < bottom <= 160'),
        ({'box': (40, 30, 40, 100)}, r'expected 0 <= left < right <= 200'),
        ({'box': (40.5, 30, 96, 100)}, 'expected left, top, right and bottom in whole px'),
        ({'which': 'What matters?'}, r"which is 'What matters\?', expected text with '\{question\}' in it"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        read_image().chat_closer('What?', **settings)


def test_a_conversation_goes_on_with_both_images_before_it():
    read = read_image()
    closer = read.chat_closer('What?', box=BOX, how='image_and_crop', max_new_tokens=4)
    both = closer.answer.read
    assert torch.equal(both.chat('What?', max_new_tokens=4).token_ids, closer.answer.token_ids)
    next_answer = closer.answer.chat('Why?', max_new_tokens=8)
    start = len(closer.answer.prompt_ids) + len(closer.answer.token_ids)
    assert torch.equal(next_answer.prompt_ids[:start], torch.cat([closer.answer.prompt_ids, closer.answer.token_ids]))
    # The image itself stays as it was read: alone in its own conversations.
    image_token = read.grounder.model.lmm.config.image_token_id
    (view,) = read.processed.views
    assert int((read.chat('What?', max_new_tokens=1).prompt_ids == image_token).sum()) == len(view.columns)
    assert torch.equal(both.ground(['a cat']).masks, read.ground(['a cat']).masks)


def test_a_template_that_begins_otherwise_with_two_images_is_refused(monkeypatch):
    read = read_image()
    processor = read.grounder.to_sample.image_processor
    chat = processor.chat_tokenizer._chat_template

    def numbered(*, num_images=1):
        before, after = chat(num_images=num_images)
        return f'{num_images} pictures: {before}', after

    monkeypatch.setattr(processor.chat_tokenizer, '_chat_template', numbered)
    message = r"the chat of 2 images begins otherwise than the \d+ tokens .* show 'image, \(40"
    with pytest.raises(ValueError, match=message):
        read.chat_closer('What?', box=BOX, how='image_and_crop')


def test_a_template_of_one_image_has_no_second():
    template = '<|im_start|>user\n<|vision_start|><image><|vision_end|>{prompt}<|im_end|>\n<|im_start|>assistant\n'
    read = read_image(prompt_template=template)
    with pytest.raises(ValueError, match='has a prompt_template, which shows one image, not 2; leave'):
        read.chat_closer('What?', box=BOX, how='image_and_crop')


def test_an_answer_about_a_crop_needs_no_mask_of_it(monkeypatch):
    """SAM's encoder costs more than a short answer; it runs when words of the answer are to be found, once."""
    read = read_image()
    expected = read.grounder.read(photo().crop(BOX)).given_answer('What?', 'a cat').ground([(2, 5)])
    encode, encoded = read.grounder.model.sam.encode_images, []
    monkeypatch.setattr(
        read.grounder.model.sam, 'encode_images', lambda images: encoded.extend(images) or encode(images)
    )
    closer = read.chat_closer('What?', box=BOX, scale=1.0, max_new_tokens=3)
    crop = closer.answer.read
    assert encoded == []
    given = crop.given_answer('What?', 'a cat')
    found = [given.ground([(2, 5)]), given.ground([(2, 5)]), crop.ground(['a cat'])]
    assert [image.size for image in encoded] == [(BOX[2] - BOX[0], BOX[3] - BOX[1])]
    for each in found[:2]:
        torch.testing.assert_close(each.scores, expected.scores, atol=1e-3, rtol=0)
    assert torch.equal(found[0].logits(), found[1].logits())


def test_masks_in_the_whole_image_can_be_pickled():
    read = read_image()
    closer = read.chat_closer('What?', box=BOX, max_new_tokens=3)
    found = in_whole_image(closer.answer.read.ground(['a cat']), box=BOX, image=photo())
    copied = pickle.loads(pickle.dumps(found))
    assert torch.equal(copied.logits(), found.logits())
    assert copied.logits()[0, 0, 0] == -math.inf
