"""QwenImageProcessorWrapper against the stock processors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from PIL import Image
from tiny_models import FAMILIES, SPECIAL_TOKENS, tiny_processor
from transformers import CLIPImageProcessor, LlavaProcessor, Qwen2VLImageProcessor

from flmm.apt.layout import TokenLayout
from flmm.datasets import QwenImageProcessorWrapper
from flmm.datasets.chat_tokenizer import PROMPT_SENTINEL
from flmm.geometry import frame_meta_data


def random_image(height, width, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def stock_call(processor, image, prompt, **images_kwargs):
    turn = [{'type': 'image'}, {'type': 'text', 'text': prompt}]
    text = processor.apply_chat_template(
        [{'role': 'user', 'content': turn}], tokenize=False, add_generation_prompt=True
    )
    return processor(text=[text], images=[image], return_tensors='pt', images_kwargs=images_kwargs)


def plain_ids(tokenizer, text):
    """Ids of single characters: a token's name can't be read out of them (the tiny tokenizer has no merges)."""
    return [token for character in text for token in tokenizer(character, add_special_tokens=False)['input_ids']]


@pytest.mark.parametrize(
    ('size', 'processed', 'patches', 'grid'),
    [
        ((600, 800), (588, 812), 2436, [1, 42, 58]),
        ((1092, 1568), (812, 1176), 4872, [1, 58, 84]),  # over the 1280 * 28 * 28 px of longest_edge
        ((20, 30), (56, 84), 24, [1, 4, 6]),  # under the 56 * 56 px of shortest_edge
        ((400, 28), (392, 28), 56, [1, 28, 2]),
    ],
)
def test_sizes(wrapper, size, processed, patches, grid):
    result = wrapper.preprocess(random_image(*size), prompt='Where?')

    (view,) = result.views
    assert set(result.lmm_inputs) == {'pixel_values', 'image_grid_thw'}
    assert result.lmm_inputs['pixel_values'].shape == (patches, 1176)
    assert result.lmm_inputs['pixel_values'].dtype == torch.float32
    assert result.lmm_inputs['image_grid_thw'].tolist() == [grid]
    assert result.lmm_inputs['image_grid_thw'].dtype == torch.long
    assert view.meta_data == frame_meta_data(size, processed)
    assert torch.equal(view.layout.tokens, TokenLayout.dense((grid[1] // 2, grid[2] // 2)).tokens)
    assert torch.equal(view.columns, (result.input_ids == wrapper.image_token_id).nonzero()[:, 0])
    assert result.input_ids.dtype == torch.long
    assert (result.input_ids == wrapper.image_token_id).sum() == patches // 4


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('size', [(600, 800), (1092, 1568), (33, 470), (28, 28)])
def test_equals_the_stock_call(family, size):
    processor, image = tiny_processor(family), random_image(*size)
    wrapper = QwenImageProcessorWrapper(pretrained_model_name_or_path=processor)

    for prompt in ('Please give me a description of the image.', 'Où est le chat ?\n„左边“ 🐱', 'two  spaces', ''):
        result, stock = wrapper.preprocess(image, prompt=prompt), stock_call(processor, image, prompt)

        assert torch.equal(result.lmm_inputs['pixel_values'], stock['pixel_values'])
        assert torch.equal(result.lmm_inputs['image_grid_thw'], stock['image_grid_thw'])
        assert torch.equal(result.input_ids, stock['input_ids'][0])


def test_the_answer_of_qwen3_5_stands_behind_its_thoughts():
    """Its config writes what the published chat template makes of enable_thinking=False."""
    config = Config.fromfile(Path(__file__).parents[2] / 'configs/_base_/lmms/qwen3_5_9b.py')
    template = config.image_processor.prompt_template
    processor, image = tiny_processor('qwen3_5'), random_image(90, 150)
    wrapper = QwenImageProcessorWrapper(pretrained_model_name_or_path=processor, prompt_template=template)
    processor.chat_template = processor.chat_template.replace('assistant\n', 'assistant\n<think>\n\n</think>\n\n')
    result, stock = wrapper.preprocess(image, prompt='Where?'), stock_call(processor, image, 'Where?')
    assert torch.equal(result.input_ids, stock['input_ids'][0])
    assert processor.tokenizer.decode(result.input_ids).endswith('<|im_start|>assistant\n<think>\n\n</think>\n\n')


@pytest.mark.parametrize('prompt', ['<image>Where?', '<image>\nWhere?', ' Where?<image> ', '<image><image> Where?'])
def test_image_placeholders_and_outer_blanks_are_stripped(wrapper, prompt):
    image = random_image(60, 90)

    ids = wrapper.preprocess(image, prompt=prompt).input_ids

    assert torch.equal(ids, stock_call(wrapper.processor, image, 'Where?')['input_ids'][0])


@pytest.mark.parametrize('name', [*SPECIAL_TOKENS, '<|endoftext|>', PROMPT_SENTINEL])
def test_special_tokens_in_the_prompt_stay_text(wrapper, name):
    image, tokenizer = random_image(60, 90), wrapper.tokenizer
    prompt = f'left {name}{name} right'

    ids = wrapper.preprocess(image, prompt=prompt).input_ids.tolist()

    # The stock ids of a placeholder, which is replaced here by the characters of the prompt.
    stock = stock_call(wrapper.processor, image, 'PLACEHOLDER')['input_ids'][0].tolist()
    placeholder = plain_ids(tokenizer, 'PLACEHOLDER')
    (start,) = (i for i in range(len(stock)) if stock[i : i + len(placeholder)] == placeholder)
    assert ids == stock[:start] + plain_ids(tokenizer, prompt) + stock[start + len(placeholder) :]
    assert ids.count(wrapper.image_token_id) == 2 * 3


@pytest.mark.parametrize('name', [*SPECIAL_TOKENS, '<|endoftext|>'])
def test_encode_text_reads_no_special_token(wrapper, name):
    assert len(wrapper.tokenizer(name)['input_ids']) == 1  # it is special to the tokenizer itself

    assert wrapper.encode_text(f'a{name}b') == plain_ids(wrapper.tokenizer, f'a{name}b')
    assert len(wrapper.tokenizer(name)['input_ids']) == 1  # and stays so


def test_encode_text_of_nothing_is_empty(wrapper):
    assert wrapper.encode_text('') == []


@pytest.mark.parametrize('size', [(2, 402), (402, 2)])
def test_extreme_aspect_ratio_is_refused(wrapper, size):
    with pytest.raises(ValueError, match=r'aspect ratio must be smaller than 200, got 201\.0'):
        wrapper.preprocess(random_image(*size), prompt='Where?')


@pytest.mark.parametrize(
    ('bounds', 'size', 'processed'),
    [
        ({'max_pixels': 100 * 28 * 28}, (600, 800), (224, 308)),
        ({'min_pixels': 112 * 112}, (56, 56), (112, 112)),
        ({'min_pixels': 112 * 112, 'max_pixels': 113 * 113}, (600, 600), (112, 112)),
        ({'max_pixels': 4000 * 28 * 28}, (1092, 1568), (1092, 1568)),
        ({}, (56, 56), (56, 56)),
    ],
)
def test_bounds_on_pixels(bounds, size, processed):
    processor = tiny_processor()
    wrapper, image = QwenImageProcessorWrapper(pretrained_model_name_or_path=processor, **bounds), random_image(*size)

    result = wrapper.preprocess(image, prompt='Where?')

    edges = {
        'shortest_edge': bounds.get('min_pixels', 56 * 56),
        'longest_edge': bounds.get('max_pixels', 1280 * 28 * 28),
    }
    stock = stock_call(processor, image, 'Where?', size=edges)
    assert result.views[0].meta_data == frame_meta_data(size, processed)
    assert torch.equal(result.lmm_inputs['pixel_values'], stock['pixel_values'])
    assert torch.equal(result.input_ids, stock['input_ids'][0])


@pytest.mark.parametrize(
    ('bounds', 'found'),
    [
        ({'min_pixels': 2000, 'max_pixels': 1999}, "{'shortest_edge': 2000, 'longest_edge': 1999}"),
        ({'min_pixels': 0}, "{'shortest_edge': 0, 'longest_edge': 1003520}"),
        ({'max_pixels': 3135}, "{'shortest_edge': 3136, 'longest_edge': 3135}"),  # under the checkpoint's min_pixels
    ],
)
def test_impossible_bounds_are_refused(bounds, found):
    with pytest.raises(ValueError, match=f'give {found}; expected 0 < min_pixels <= max_pixels'):
        QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor(), **bounds)


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('kind', [str, lambda path: path], ids=['str', 'Path'])
def test_checkpoint_folder_gives_class_and_bounds(family, kind, tmp_path):
    processor, image = tiny_processor(family), random_image(90, 150)
    processor.image_processor = Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=10 * 28 * 28)
    processor.save_pretrained(tmp_path)

    wrapper = QwenImageProcessorWrapper(pretrained_model_name_or_path=kind(tmp_path))

    assert type(wrapper.processor) is type(processor)
    assert wrapper.size == {'shortest_edge': 28 * 28, 'longest_edge': 10 * 28 * 28}
    result, stock = wrapper.preprocess(image, prompt='Where?'), stock_call(processor, image, 'Where?')
    assert result.lmm_inputs['image_grid_thw'].tolist() == [[1, 4, 8]]
    assert torch.equal(result.lmm_inputs['pixel_values'], stock['pixel_values'])
    assert torch.equal(result.input_ids, stock['input_ids'][0])


@pytest.mark.parametrize(
    'template',
    [
        '<|vision_start|><|image_pad|><|vision_end|>',  # drops the text
        '{{ messages[0].content[1].text }}',  # drops the image
        '<|image_pad|>{{ messages[0].content[1].text }}<|image_pad|>',
        '{{ messages[0].content[1].text }}<|image_pad|>',
    ],
)
def test_other_chat_templates_are_refused(template):
    processor = tiny_processor()
    processor.chat_template = template

    with pytest.raises(ValueError, match='does not render one image and one text once each'):
        QwenImageProcessorWrapper(pretrained_model_name_or_path=processor)


def test_a_given_template_takes_the_place_of_the_chat_template(wrapper):
    image = random_image(56, 84)
    given = QwenImageProcessorWrapper(
        pretrained_model_name_or_path=wrapper.processor, prompt_template='USER: <image>\n{prompt} ASSISTANT:'
    )
    before, after = (plain_ids(wrapper.tokenizer, text) for text in ('USER: ', '\nWhere? ASSISTANT:'))
    found = given.preprocess(image, prompt='<image>\nWhere?')
    assert found.input_ids.tolist() == [*before, *[wrapper.image_token_id] * 6, *after]
    assert found.views[0].columns.tolist() == list(range(6, 12))


@pytest.mark.parametrize(
    'template',
    [
        '{prompt}',
        '<image>',
        '{prompt}<image>',
        '<image><image>{prompt}',
        '<image>{prompt}{prompt}',
        '<|image_pad|><image>{prompt}',
        '<image>{prompt}<|image_pad|>',
    ],
)
def test_a_template_without_one_image_and_one_prompt_is_refused(wrapper, template):
    with pytest.raises(ValueError, match=r"expected one '<image>' and, behind it, one '\{prompt\}'"):
        QwenImageProcessorWrapper(pretrained_model_name_or_path=wrapper.processor, prompt_template=template)


def test_a_processor_that_does_not_resize_is_refused():
    processor = tiny_processor()
    processor.image_processor.do_resize = False
    with pytest.raises(ValueError, match='the image processor has do_resize=False, so images would be no whole number'):
        QwenImageProcessorWrapper(pretrained_model_name_or_path=processor)


def test_a_processor_of_another_family_is_refused():
    other = LlavaProcessor(image_processor=CLIPImageProcessor(), tokenizer=tiny_processor().tokenizer, patch_size=14)
    with pytest.raises(ValueError, match='the processor is a LlavaProcessor'):
        QwenImageProcessorWrapper(pretrained_model_name_or_path=other)
