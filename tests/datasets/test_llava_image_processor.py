"""LlavaImageProcessorWrapper and LlavaNextImageProcessorWrapper against the stock processors and F-LMM's reading."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_llava import MODEL_TYPES, random_image, tiny_lmm, tiny_processor, tiny_wrapper
from tiny_models import tiny_processor as tiny_qwen_processor
from transformers import LlavaImageProcessor, SiglipImageProcessor

from flmm.datasets.llava_image_processor import LlavaImageProcessorWrapper, LlavaNextImageProcessorWrapper
from flmm.geometry import area_coverage, frame_meta_data, image_to_processed, masks_to_boxes, processed_to_image

SIZES = [(480, 640), (640, 480), (336, 336), (427, 640), (333, 500), (100, 400), (400, 100), (51, 77), (1300, 900)]
TEMPLATES = {
    'llava': 'USER: <image>\n{prompt} ASSISTANT:',
    'llava_next': '[INST] <image>\n{prompt} [/INST]',
}
PROMPT = 'Please give me a description of the image.'


def stock_call(processor, image, prompt):
    turn = [{'type': 'image'}, {'type': 'text', 'text': prompt}]
    text = processor.apply_chat_template(
        [{'role': 'user', 'content': turn}], tokenize=False, add_generation_prompt=True
    )
    return processor(text=[text], images=[image], return_tensors='pt')


def next_wrapper(pinpoints, *, side=336):
    """A LLaVA-NeXT wrapper whose resolutions are these, in tiles."""
    processor = tiny_processor('llava_next', side=side)
    processor.image_processor.image_grid_pinpoints = [[side * rows, side * columns] for rows, columns in pinpoints]
    return LlavaNextImageProcessorWrapper(pretrained_model_name_or_path=processor)


@pytest.mark.parametrize('size', SIZES)
def test_a_square_is_padded_as_f_lmm_pads_it(size):
    image = random_image(*size)
    result = tiny_wrapper().preprocess(image, prompt=PROMPT)

    longest = max(size)
    height, width = (math.floor(336 * side / longest) for side in size)
    expected = np.empty((336, 336, 3))
    expected[:] = (122, 116, 104)  # 255 times CLIP's mean, truncated
    top, left = (336 - height) // 2, (336 - width) // 2
    expected[top : top + height, left : left + width] = image.resize((width, height), Image.Resampling.BICUBIC)
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = torch.from_numpy((expected / 255 - mean) / std).permute(2, 0, 1)[None].float()
    torch.testing.assert_close(result.lmm_inputs['pixel_values'], expected, atol=1e-5, rtol=0)

    (view,) = result.views
    padding = (top, 336 - height - top, left, 336 - width - left)
    assert view.meta_data == frame_meta_data(size, (height, width), padding)
    assert view.layout.grid_size == (24, 24)
    assert torch.equal(view.columns, (result.input_ids == result.input_ids[view.columns[0]]).nonzero()[:, 0])
    assert len(view.columns) == tiny_wrapper().num_image_tokens(*size) == 576


@pytest.mark.parametrize('prompt', [PROMPT, 'Où est le chat ?\n„左边“ 🐱', 'two  spaces', ''])
@pytest.mark.parametrize('model_type', MODEL_TYPES)
def test_text_equals_the_stock_call(model_type, prompt):
    processor = tiny_processor(model_type)
    wrapper = type(tiny_wrapper(model_type))(pretrained_model_name_or_path=processor)
    stock = stock_call(processor, random_image(480, 640), prompt)
    assert torch.equal(wrapper.preprocess(random_image(480, 640), prompt=prompt).input_ids, stock['input_ids'][0])


def test_a_square_image_equals_the_stock_call():
    image = random_image(336, 336)
    stock = stock_call(tiny_processor(), image, PROMPT)
    found = tiny_wrapper().preprocess(image, prompt=PROMPT)
    torch.testing.assert_close(found.lmm_inputs['pixel_values'], stock['pixel_values'], atol=1e-6, rtol=0)


@pytest.mark.parametrize('size', [*SIZES, (4, 500), (500, 4)])
def test_tiles_equal_the_stock_call(size):
    image, wrapper = random_image(*size), tiny_wrapper('llava_next', side=112)
    result, stock = wrapper.preprocess(image, prompt=PROMPT), stock_call(wrapper.processor, image, PROMPT)
    assert torch.equal(result.lmm_inputs['pixel_values'], stock['pixel_values'])
    assert torch.equal(result.lmm_inputs['image_sizes'], stock['image_sizes'])
    assert torch.equal(result.input_ids, stock['input_ids'][0])
    assert wrapper.num_image_tokens(*size) == (stock['input_ids'] == wrapper.image_token_id).sum()
    lmm = tiny_lmm('llava_next', side=112)
    with torch.no_grad():
        (features,) = lmm.model.get_image_features(**result.lmm_inputs, return_dict=True).pooler_output
    assert len(features) == wrapper.num_image_tokens(*size)


# By hand: the tiles (h, w), the image in them, and the padding that is left where it was removed in cells of 14 px.
@pytest.mark.parametrize(
    ('size', 'content', 'padding', 'grid'),
    [
        ((480, 640), (504, 672), (0, 0, 0, 0), (36, 48)),  # 672 x 672, 84 px on either side are six cells
        ((427, 640), (449, 672), (-1, 0, 0, 0), (32, 48)),  # 111 and 112 px, of which 8 cells are removed
        ((640, 427), (672, 449), (0, 0, -1, 0), (48, 32)),
        ((423, 640), (445, 672), (1, 2, 0, 0), (32, 48)),  # 113 and 114 px; int(31.7) = 31 rows, an even number stays
        ((400, 1600), (252, 1008), (0, 0, 0, 0), (18, 72)),  # 336 x 1008
        ((336, 672), (336, 672), (0, 0, 0, 0), (24, 48)),
        ((700, 1000), (471, 672), (2, 3, 0, 0), (34, 48)),  # 100 and 101 px; 33 of 48 rows, 7 are removed
        ((690, 1000), (464, 672), (6, 6, 0, 0), (34, 48)),  # 104 px on either side, 7 rows are removed
        ((708, 1000), (476, 672), (0, 0, 0, 0), (34, 48)),
    ],
)
def test_frames_of_both_views(size, content, padding, grid):
    wrapper = tiny_wrapper('llava_next')
    result = wrapper.preprocess(random_image(*size), prompt=PROMPT)
    start = result.input_ids.tolist().index(wrapper.image_token_id)
    coarse, fine = result.views
    assert coarse.meta_data == frame_meta_data(size, (336, 336))
    assert coarse.layout.grid_size == (24, 24)
    assert coarse.columns.tolist() == list(range(start, start + 576))
    assert fine.meta_data == frame_meta_data(size, content, padding)
    assert fine.layout.grid_size == grid
    rows, columns = grid
    assert fine.columns.tolist() == [
        start + 576 + row * (columns + 1) + column for row in range(rows) for column in range(columns)
    ]


@pytest.mark.parametrize('pinpoints', [[(1, 1)], [(1, 1), (2, 2)], [(3, 2)], [(1, 5), (5, 1), (2, 2)]])
def test_resolutions_may_be_any_number_of_tiles(pinpoints):
    wrapper, lmm = next_wrapper(pinpoints, side=56), tiny_lmm('llava_next', side=56)
    lmm.config.image_grid_pinpoints = wrapper.resolutions
    for size in ((50, 50), (90, 250), (250, 90), (60, 47)):
        image = random_image(*size)
        result, stock = wrapper.preprocess(image, prompt=PROMPT), stock_call(wrapper.processor, image, PROMPT)
        assert torch.equal(result.input_ids, stock['input_ids'][0])
        with torch.no_grad():
            (features,) = lmm.model.get_image_features(**result.lmm_inputs, return_dict=True).pooler_output
        rows, columns = result.views[1].layout.grid_size
        assert len(features) == 16 + rows * (columns + 1) == wrapper.num_image_tokens(*size)
        assert len(result.lmm_inputs['pixel_values'][0]) in {1 + tall * wide for tall, wide in pinpoints}


def test_one_tile_makes_two_views():
    result = next_wrapper([(1, 1)]).preprocess(random_image(240, 320), prompt=PROMPT)
    assert result.lmm_inputs['pixel_values'].shape == (1, 2, 3, 336, 336)
    coarse, fine = result.views
    assert coarse.meta_data == frame_meta_data((240, 320), (336, 336))
    assert fine.meta_data == frame_meta_data((240, 320), (252, 336))  # of 42 px on either side three cells
    assert fine.layout.grid_size == (18, 24)


@pytest.mark.parametrize(('size', 'ends'), [((16, 2000), 0), ((2000, 16), 72)])
def test_an_image_of_less_than_a_cell_has_one_view(size, ends):
    wrapper = tiny_wrapper('llava_next')
    result = wrapper.preprocess(random_image(*size), prompt=PROMPT)
    (view,) = result.views
    assert view.meta_data == frame_meta_data(size, (336, 336))
    # The LMM gives each of the empty rows its end all the same.
    assert (result.input_ids == wrapper.image_token_id).sum() == 576 + ends == wrapper.num_image_tokens(*size)


@pytest.mark.parametrize('aspect', [(1, 4), (1, 2), (3, 4), (1, 1), (5, 3), (4, 1), (427, 640), (690, 1000)])
@pytest.mark.parametrize('model_type', MODEL_TYPES)
def test_a_mask_survives_every_view_to_within_a_cell(model_type, aspect):
    unit = 800 / max(aspect)
    height, width = (round(unit * side) for side in aspect)
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[:, round(0.1 * height) : round(0.65 * height), round(0.45 * width) : round(0.9 * width)] = True
    result = tiny_wrapper(model_type).preprocess(random_image(height, width), prompt=PROMPT)
    assert len(result.views) == {'llava': 1, 'llava_next': 2}[model_type]
    for view in result.views:
        meta, grid = view.meta_data, view.layout.grid_size
        found = processed_to_image(area_coverage(image_to_processed(mask, meta), grid) - 0.5, meta) > 0
        cells = [  # in px of the image
            meta['padded_shape'][axis] / cells * side / meta['image_shape'][axis]
            for axis, cells, side in zip(('width', 'height'), reversed(grid), (width, height), strict=True)
        ]
        apart = (masks_to_boxes(found) - masks_to_boxes(mask)).abs()[0]
        assert bool((apart <= torch.tensor(cells * 2)).all()), (apart, cells)


@pytest.mark.parametrize('model_type', MODEL_TYPES)
@pytest.mark.parametrize('template', TEMPLATES.values())
def test_f_lmms_templates_are_tokenized_as_one_text(model_type, template):
    processor = tiny_processor(model_type, side=56)
    wrapper = type(tiny_wrapper(model_type))(pretrained_model_name_or_path=processor, prompt_template=template)
    found = wrapper.preprocess(random_image(56, 56), prompt=PROMPT).input_ids.tolist()
    expected = processor.tokenizer(template.format(prompt=PROMPT))['input_ids']
    assert expected[0] == processor.tokenizer.bos_token_id == 1
    place = expected.index(wrapper.image_token_id)
    count = wrapper.num_image_tokens(56, 56)
    assert found == [*expected[:place], *[wrapper.image_token_id] * count, *expected[place + 1 :]]


@pytest.mark.parametrize('name', ['<s>', '</s>', '<unk>'])
@pytest.mark.parametrize('model_type', MODEL_TYPES)
def test_special_tokens_in_the_prompt_stay_text(model_type, name):
    wrapper = tiny_wrapper(model_type, side=56)
    special = wrapper.tokenizer.convert_tokens_to_ids(name)
    found, plain = (
        wrapper.preprocess(random_image(56, 56), prompt=f'left {text} right').input_ids.tolist()
        for text in (name, 'x' * len(name))
    )
    assert found.count(special) == plain.count(special)
    assert found.count(wrapper.image_token_id) == wrapper.num_image_tokens(56, 56)
    assert wrapper.tokenizer.decode(found).count(f'left {name} right') == 1


@pytest.mark.parametrize('name', ['<image>', '<s>', '</s>', '<unk>'])
def test_encode_text_reads_no_special_token(name):
    wrapper = tiny_wrapper()
    special = wrapper.tokenizer.convert_tokens_to_ids(name)
    assert special in wrapper.tokenizer(f'a{name}b')['input_ids']
    found = wrapper.encode_text(f'a{name}b')
    assert special not in found
    # Each text begins with the blank of its own that SentencePiece puts before it.
    byte = {
        character: wrapper.tokenizer.convert_tokens_to_ids(f'<0x{ord(character):02X}>') for character in f'ab{name}'
    }
    assert found == [wrapper.tokenizer.convert_tokens_to_ids('▁'), *(byte[character] for character in f'a{name}b')]


def test_an_image_processor_of_another_class_pads_alike():
    """LlavaImageProcessor with its own padding, and SigLIP's with 27 patches in 384 px, of which 6 px are not read."""
    image = random_image(300, 200)
    processor = tiny_processor()
    expected = tiny_wrapper().preprocess(image, prompt=PROMPT)
    processor.image_processor = LlavaImageProcessor(
        size={'shortest_edge': 336}, crop_size={'height': 336, 'width': 336}, do_pad=True
    )
    found = LlavaImageProcessorWrapper(pretrained_model_name_or_path=processor).preprocess(image, prompt=PROMPT)
    torch.testing.assert_close(found.lmm_inputs, expected.lmm_inputs, atol=1e-6, rtol=0)

    processor.image_processor = SiglipImageProcessor(size={'height': 384, 'width': 384})
    processor.vision_feature_select_strategy, processor.num_additional_image_tokens = 'full', 0
    wrapper = LlavaImageProcessorWrapper(pretrained_model_name_or_path=processor)
    found, stock = wrapper.preprocess(image, prompt=PROMPT), stock_call(processor, image, PROMPT)
    assert found.lmm_inputs['pixel_values'].shape == stock['pixel_values'].shape == (1, 3, 384, 384)
    assert torch.equal(found.input_ids, stock['input_ids'][0])
    (view,) = found.views
    assert view.layout.grid_size == (27, 27)
    assert view.meta_data == frame_meta_data((300, 200), (384, 256), (0, -6, 64, 58))


def changed(model_type, **changes):
    """A processor and its image processor with other attributes."""
    processor = tiny_processor(model_type)
    for name, value in changes.items():
        setattr(processor if hasattr(processor, name) else processor.image_processor, name, value)
    return processor


@pytest.mark.parametrize(
    ('wrapper', 'processor', 'message'),
    [
        (
            LlavaImageProcessorWrapper,
            lambda: changed('llava', num_additional_image_tokens=0),
            "vision_feature_select_strategy 'default' and num_additional_image_tokens 0: the first patch of the image",
        ),
        (
            LlavaNextImageProcessorWrapper,
            lambda: changed('llava_next', vision_feature_select_strategy='full'),
            "vision_feature_select_strategy 'full' and num_additional_image_tokens 1: tiles would not be grids",
        ),
        (LlavaImageProcessorWrapper, lambda: changed('llava', patch_size=None), 'the processor has patch_size None'),
        (
            LlavaImageProcessorWrapper,
            lambda: changed('llava', crop_size={'height': 336, 'width': 224}),
            r"makes images of \{'height': 336, 'width': 224\} px; expected one side of a square",
        ),
        (
            LlavaNextImageProcessorWrapper,
            lambda: changed('llava_next', size={'shortest_edge': 384}),
            r"size \{'shortest_edge': 384\} and crop_size \{'height': 336, 'width': 336\}; tiles would be cropped",
        ),
        (
            LlavaNextImageProcessorWrapper,
            lambda: changed('llava_next', patch_size=16 * 2),
            'tiles of 336 px are no whole number of patches of 32 px',
        ),
        (
            LlavaNextImageProcessorWrapper,
            lambda: changed('llava_next', image_grid_pinpoints=[[336, 672], [336, 500]]),
            r'image_grid_pinpoints has \[\[336, 500\]\]; expected \(height, width\) that are multiples of the 336 px',
        ),
        (
            LlavaNextImageProcessorWrapper,
            lambda: changed('llava_next', image_grid_pinpoints=[]),
            'image_grid_pinpoints has no resolution',
        ),
        (
            LlavaNextImageProcessorWrapper,
            lambda: changed('llava_next', image_grid_pinpoints=None),
            'image_grid_pinpoints has no resolution',
        ),
        (LlavaImageProcessorWrapper, lambda: changed('llava', image_mean=None), 'image_mean None; images are padded'),
        (LlavaImageProcessorWrapper, lambda: changed('llava', image_mean=0.5), 'image_mean 0.5; images are padded'),
        (
            LlavaImageProcessorWrapper,
            lambda: tiny_processor('llava_next'),
            'a LlavaNextProcessor; LlavaImageProcessorWrapper does not wrap it, LlavaNextImageProcessorWrapper does',
        ),
        (
            LlavaNextImageProcessorWrapper,
            tiny_processor,
            'a LlavaProcessor; LlavaNextImageProcessorWrapper does not wrap it, LlavaImageProcessorWrapper does',
        ),
        (LlavaImageProcessorWrapper, tiny_qwen_processor, 'QwenImageProcessorWrapper does'),
    ],
)
def test_processors_that_do_not_fit_are_refused(wrapper, processor, message):
    with pytest.raises(ValueError, match=message):
        wrapper(pretrained_model_name_or_path=processor())
