"""DeepseekVLImageProcessorWrapper against the stock processors, and its frame against the pixels they make."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_deepseek_vl import BOS, DEEPSEEK_VL_FAMILIES, EOS, IMAGE_TOKEN, PROMPT_TEMPLATE, tiny_processor
from tiny_models import tiny_processor as tiny_qwen_processor

from flmm.apt.layout import TokenLayout
from flmm.datasets import QwenImageProcessorWrapper
from flmm.datasets.deepseek_vl_image_processor import DeepseekVLImageProcessorWrapper
from flmm.geometry import image_to_processed, processed_to_image

# (height, width): 8:1 to 1:8, odd sizes, halves that round to even, and sides that only min_size keeps from vanishing.
SIZES = [
    (384, 384), (600, 800), (375, 500), (1, 1), (383, 385), (97, 101), (333, 777), (777, 333), (101, 203), (203, 101),
    (125, 1000), (1000, 125), (131, 1037), (1037, 131), (768, 257), (257, 768), (768, 769), (2048, 3), (3, 2048),
    (768, 1), (1, 768), (500, 333), (640, 427), (427, 640),
]  # fmt: skip
PROMPT = 'Please give me a description of the image.'


def wrapper_of(family, **kwargs):
    return DeepseekVLImageProcessorWrapper(
        pretrained_model_name_or_path=tiny_processor(family, **kwargs), prompt_template=PROMPT_TEMPLATE
    )


def random_image(height, width, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def plain_ids(tokenizer, text):
    """Ids of single characters: a token's name can't be read out of them (the tiny tokenizer has no merges)."""
    return [token for character in text for token in tokenizer(character, add_special_tokens=False)['input_ids']]


def colours(pixels, mean, std):
    """Undo the normalization: [1, 3, H, W] -> [3, H, W], 0..255."""
    return (pixels[0] * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]) * 255


def inner(meta_data):
    """Rows and columns of the frame that show the image."""
    padding, content = meta_data['padding'], meta_data['image_shape']
    return tuple(
        slice(padding[f'before_{axis}'], padding[f'before_{axis}'] + content[axis]) for axis in ('height', 'width')
    )


@pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)
@pytest.mark.parametrize('size', SIZES)
def test_what_the_frame_calls_padding_is_padding_and_nothing_else_is(family, size):
    wrapper = wrapper_of(family, high_res=1024)
    inputs, _, (view,) = wrapper.read_image(Image.new('RGB', size[::-1], 'white'))
    processor = wrapper.image_processor
    if family == 'deepseek_vl':
        side, background = 384, (127, 127, 127)
        found = colours(inputs['pixel_values'], processor.image_mean, processor.image_std)
    else:
        side, background = 1024, (122, 116, 104)
        found = colours(inputs['high_res_pixel_values'], processor.high_res_image_mean, processor.high_res_image_std)
    expected = torch.tensor(background, dtype=torch.float32)[:, None, None].repeat(1, side, side)
    rows, columns = inner(view.meta_data)
    expected[:, rows, columns] = 255
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    frame, padding = view.meta_data['padded_shape'], view.meta_data['padding']
    assert frame == {'height': side, 'width': side}
    for axis in ('height', 'width'):  # centred, the odd pixel behind
        assert padding[f'after_{axis}'] - padding[f'before_{axis}'] in (0, 1)
    assert view.meta_data['original_shape'] == {'height': size[0], 'width': size[1]}


@pytest.mark.parametrize('size', SIZES)
def test_both_towers_of_the_hybrid_are_shown_the_same_frame(size):
    wrapper = wrapper_of('deepseek_vl_hybrid', high_res=1024)
    # Gray, since white could not overshoot where bicubic resampling does.
    inputs, _, (view,) = wrapper.read_image(Image.new('RGB', size[::-1], (200, 200, 200)))
    processor = wrapper.image_processor
    coarse = colours(inputs['pixel_values'], processor.image_mean, processor.image_std)
    background = torch.tensor([122.0, 116.0, 104.0])[:, None, None]
    shown = ((coarse - background) / (200 - background)).mean(dim=0).double()  # 1 in the image, 0 in the padding
    # In the px of the coarse frame the image begins and ends between px: its size and middle are read as moments.
    content, padding = view.meta_data['image_shape'], view.meta_data['padding']
    assert shown.sum().item() == pytest.approx(content['height'] * content['width'] * (384 / 1024) ** 2, rel=0.005)
    for axis, profile in (('height', shown.sum(dim=1)), ('width', shown.sum(dim=0))):
        middle = (profile * (torch.arange(384) + 0.5)).sum() / profile.sum()
        expected = (padding[f'before_{axis}'] + content[axis] / 2) * 384 / 1024
        assert middle.item() == pytest.approx(expected, abs=0.05)  # a px of the fine frame is 0.375


@pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)
@pytest.mark.parametrize('size', [(600, 800), (333, 777), (1037, 131)])
@pytest.mark.parametrize('prompt', [PROMPT, 'Où est le chat ?\n„左边“ 🐱', 'two  spaces', ''])
def test_equals_the_stock_call(family, size, prompt):
    wrapper, image = wrapper_of(family), random_image(*size)
    result = wrapper.preprocess(image, prompt=prompt)
    text = PROMPT_TEMPLATE.replace('<image>', IMAGE_TOKEN).format(prompt=prompt)
    stock = wrapper.processor(text=[text], images=[image], return_tensors='pt')
    assert result.lmm_inputs.keys() == stock.keys() - {'input_ids', 'attention_mask'}
    for name, tensor in result.lmm_inputs.items():
        assert torch.equal(tensor, stock[name])
        assert tensor.dtype == torch.float32
    assert torch.equal(result.input_ids, stock['input_ids'][0])
    # As F-LMM tokenizes: the joined string, BOS by the tokenizer.
    joined = f'User: {IMAGE_TOKEN * 576}{prompt}\n\nAssistant:'
    assert result.input_ids.tolist() == wrapper.tokenizer(joined)['input_ids']
    assert result.input_ids[0] == wrapper.tokenizer.convert_tokens_to_ids(BOS)


@pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)
def test_the_view_has_a_token_for_each_of_24_by_24_cells(family):
    wrapper = wrapper_of(family)
    result = wrapper.preprocess(random_image(90, 150), prompt=PROMPT)
    (view,) = result.views
    assert torch.equal(view.layout.tokens, TokenLayout.dense((24, 24)).tokens)
    assert torch.equal(view.columns, (result.input_ids == wrapper.image_token_id).nonzero()[:, 0])
    assert view.columns.tolist() == list(range(1 + len('User: '), 1 + len('User: ') + 576))
    assert wrapper.num_image_tokens(90, 150) == wrapper.num_image_tokens(3, 4000) == 576


@pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)
@pytest.mark.parametrize('size', [(300, 300), (240, 480), (480, 240), (121, 483), (483, 121), (60, 480), (480, 60)])
def test_a_mask_survives_the_way_to_the_grid_and_back_to_within_a_cell(family, size):
    height, width = size
    top, bottom, left, right = height // 5, height - height // 3, width // 4, width - width // 5
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[:, top:bottom, left:right] = True
    _, _, (view,) = wrapper_of(family).read_image(random_image(height, width))
    framed = image_to_processed(mask, view.meta_data)
    side = view.meta_data['padded_shape']['height']
    assert framed.shape == (1, side, side)
    on_grid = torch.nn.functional.interpolate(framed[None].float(), size=view.layout.grid_size, mode='area')[0]
    back = processed_to_image(on_grid, view.meta_data)
    assert back.shape == mask.shape
    cell = max(size) / 24  # px of the image
    # Exact beside a seam of one cell along the border.
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    inside = (torch.minimum(rows - top, bottom - rows)[:, None], torch.minimum(columns - left, right - columns)[None])
    distance = torch.minimum(*inside)
    assert (back[0][distance > cell] > 0.5).all()
    assert (back[0][distance < -cell] < 0.5).all()
    assert ((back[0] > 0.5) != mask[0]).float().mean() < 2 * cell * (height + width) / (height * width)


@pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)
@pytest.mark.parametrize('name', [BOS, EOS, IMAGE_TOKEN])
def test_special_tokens_in_prompt_and_phrases_stay_text(family, name):
    wrapper = wrapper_of(family)
    tokenizer = wrapper.tokenizer
    assert len(tokenizer(name, add_special_tokens=False)['input_ids']) == 1  # it is special to the tokenizer itself
    assert wrapper.encode_text(f'a{name}b') == plain_ids(tokenizer, f'a{name}b')
    prompt = f'left {name}{name} right'
    ids = wrapper.preprocess(random_image(60, 90), prompt=prompt).input_ids.tolist()
    before, after = plain_ids(tokenizer, 'User: '), plain_ids(tokenizer, f'{prompt}\n\nAssistant:')
    bos, image = tokenizer.convert_tokens_to_ids([BOS, IMAGE_TOKEN])
    assert ids == [bos, *before, *[image] * 576, *after]


def test_the_chat_template_of_the_checkpoint_is_the_default():
    wrapper = DeepseekVLImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor())
    assert wrapper.chat_tokenizer.chat == (f'User: {IMAGE_TOKEN}', '\n\nAssistant:')


@pytest.mark.parametrize('family', DEEPSEEK_VL_FAMILIES)
def test_a_tokenizer_that_calls_itself_llama_keeps_its_blanks(family, tmp_path):
    """DeepSeek's is labelled so on the hub; transformers' LlamaTokenizer would drop every blank without a word."""
    tiny_processor(family).save_pretrained(tmp_path)
    (tmp_path / 'config.json').write_text(json.dumps({'model_type': family}))
    path = tmp_path / 'tokenizer_config.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), 'tokenizer_class': 'LlamaTokenizerFast'}))
    wrapper = DeepseekVLImageProcessorWrapper(pretrained_model_name_or_path=tmp_path, prompt_template=PROMPT_TEMPLATE)
    image, expected = random_image(60, 90), wrapper_of(family)
    assert type(wrapper.processor) is type(expected.processor)
    assert wrapper.encode_text('the red  star\n') == plain_ids(expected.tokenizer, 'the red  star\n')
    found = wrapper.preprocess(image, prompt=PROMPT)
    assert torch.equal(found.input_ids, expected.preprocess(image, prompt=PROMPT).input_ids)


@pytest.mark.parametrize('name', ['do_resize', 'do_pad'])
def test_a_processor_that_makes_no_square_is_refused(name):
    processor = tiny_processor()
    setattr(processor.image_processor, name, False)
    with pytest.raises(ValueError, match=f'the image processor has {name}=False, so images would be no squares'):
        DeepseekVLImageProcessorWrapper(pretrained_model_name_or_path=processor)


def test_tokens_that_form_no_square_are_refused():
    processor = tiny_processor()
    processor.num_image_tokens = 500
    with pytest.raises(ValueError, match='the processor has num_image_tokens=500, expected a square number'):
        DeepseekVLImageProcessorWrapper(pretrained_model_name_or_path=processor)


def test_processors_of_other_families_are_refused_by_name():
    with pytest.raises(
        ValueError,
        match='a Qwen2_5_VLProcessor; DeepseekVLImageProcessorWrapper does not wrap it, QwenImageProcessorWrapper does',
    ):
        DeepseekVLImageProcessorWrapper(pretrained_model_name_or_path=tiny_qwen_processor())
    with pytest.raises(
        ValueError,
        match='a DeepseekVLHybridProcessor; QwenImageProcessorWrapper does not wrap it, DeepseekVLImageProcessor',
    ):
        QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor('deepseek_vl_hybrid'))
