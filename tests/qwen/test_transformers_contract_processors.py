"""What transformers promises of its processors: the adaptive ones keep it, and the stock ones prove the check."""

import copy
import inspect
import json
import pickle

import pytest
import torch
from tiny_adaptive import (
    IMAGE_SPAN,
    PROCESSORS,
    adaptive_processor,
    half_smooth_image,
)
from tiny_models import FAMILIES, tiny_processor
from transformers import AutoImageProcessor, AutoProcessor, Qwen2VLImageProcessor

from flmm.qwen import AdaptiveQwen2VLImageProcessor

KINDS = [(family, kind) for family in FAMILIES for kind in ('stock', 'adaptive')]
IMAGES = [half_smooth_image(size, seed=i) for i, size in enumerate([(140, 168), (84, 200), (60, 60)])]
TEXTS = [f'a{IMAGE_SPAN}b {IMAGE_SPAN}what is it', f'{IMAGE_SPAN}?']


def build_processor(family, kind):
    if kind == 'stock':
        return tiny_processor(family)
    return adaptive_processor(family, patch_selection_method='budget', alpha=0.4)


@pytest.fixture(scope='module', params=KINDS, ids='-'.join)
def processor(request):
    return build_processor(*request.param)


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert torch.equal(torch.as_tensor(found[name]), torch.as_tensor(value)), name


@pytest.mark.parametrize('family', FAMILIES)
def test_methods_of_the_processors_have_the_stock_arguments(family):
    def names(function):
        return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]

    pairs = ((PROCESSORS[family], type(tiny_processor(family))), (AdaptiveQwen2VLImageProcessor, Qwen2VLImageProcessor))
    for found, expected in pairs:
        for name, method in inspect.getmembers(expected, inspect.isroutine):
            if not name.startswith('_') or name in ('__init__', '__call__'):
                assert names(getattr(found, name)) == names(method), name


def test_a_saved_processor_is_the_same(processor, tmp_path):
    saved = processor.save_pretrained(tmp_path)
    assert json.loads((tmp_path / 'processor_config.json').read_text()) == json.loads(processor.to_json_string())
    assert [str(tmp_path / 'processor_config.json')] == saved
    for loader in (type(processor), AutoProcessor):
        loaded = loader.from_pretrained(tmp_path)
        assert type(loaded) is type(processor)
        assert loaded.to_dict() == processor.to_dict()
        assert loaded.chat_template == processor.chat_template
        for name in ('image_processor', 'video_processor'):
            assert repr(getattr(loaded, name)) == repr(getattr(processor, name))
        assert loaded.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert processor.image_processor.from_pretrained(tmp_path).to_dict() == processor.image_processor.to_dict()


def test_a_saved_image_processor_is_the_same(processor, tmp_path):
    one = processor.image_processor
    one.save_pretrained(tmp_path)
    assert json.loads(one.to_json_string()) == json.loads((tmp_path / 'preprocessor_config.json').read_text())
    for loaded in (
        type(one).from_pretrained(tmp_path),
        AutoImageProcessor.from_pretrained(tmp_path),
        type(one).from_dict(one.to_dict()),
        type(one).from_json_file(tmp_path / 'preprocessor_config.json'),
    ):
        assert type(loaded) is type(one)
        assert json.loads(loaded.to_json_string()) == json.loads(one.to_json_string())
    loaded, unused = type(one).from_pretrained(tmp_path, do_normalize=False, unknown=1, return_unused_kwargs=True)
    assert (loaded.do_normalize, unused['unknown']) == (False, 1)


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda processor: pickle.loads(pickle.dumps(processor))])
def test_a_copied_processor_is_the_same(processor, copied):
    arguments = {'images': IMAGES, 'text': TEXTS, 'padding': True, 'return_tensors': 'pt'}
    assert_same(copied(processor)(**arguments), processor(**arguments))
    assert copied(processor.image_processor).to_dict() == processor.image_processor.to_dict()


def test_a_call_returns_the_inputs_of_the_model(processor):
    of_videos = {'pixel_values_videos', 'video_grid_thw', 'second_per_grid_ts'}
    of_images = set(processor.image_processor.model_input_names)
    of_text = {'input_ids', 'attention_mask', 'mm_token_type_ids'}
    assert set(processor.model_input_names) - of_videos == of_images | of_text
    settings = {'padding': True, 'return_tensors': 'pt'}
    together = processor(images=IMAGES, text=TEXTS, **settings)
    assert set(together) == of_images | of_text
    assert_same(processor(images=[IMAGES[:2], IMAGES[2:]], text=TEXTS, **settings), together)  # by text
    assert set(processor(text=['hm', 'no image'], **settings)) == of_text
    alone = processor(images=IMAGES, return_tensors='pt')
    assert_same(alone, processor.image_processor(IMAGES, return_tensors='pt'))
    assert set(processor(text='hm')) == of_text
    with pytest.raises(ValueError, match='at least one input'):
        processor()


def test_settings_of_a_call_win_and_may_be_nested(processor):
    shared = {'images': IMAGES[0], 'text': IMAGE_SPAN, 'return_tensors': 'pt'}
    flat = processor(**shared, do_rescale=True, rescale_factor=-1.0, padding='max_length', max_length=76)
    nested = processor(
        images=IMAGES[0],
        text=IMAGE_SPAN,
        common_kwargs={'return_tensors': 'pt'},
        images_kwargs={'do_rescale': True, 'rescale_factor': -1.0},
        text_kwargs={'padding': 'max_length', 'max_length': 76},
    )
    assert_same(nested, flat)
    assert flat['input_ids'].shape == (1, 76)
    assert flat['pixel_values'].mean() < 0
    with pytest.raises(ValueError, match='passed two times'):
        processor(**shared, do_rescale=True, images_kwargs={'do_rescale': True})
    changed = copy.deepcopy(processor)
    changed.image_processor.rescale_factor = -1.0
    assert torch.equal(changed(**shared)['pixel_values'], flat['pixel_values'])


def test_a_chat_is_rendered_and_tokenized(processor):
    turn = [{'type': 'image', 'image': IMAGES[0]}, {'type': 'text', 'text': 'hm'}]
    chat = [{'role': 'user', 'content': turn}]
    text = processor.apply_chat_template(chat, add_generation_prompt=True)
    assert text == f'<|im_start|>user\n{IMAGE_SPAN}hm<|im_end|>\n<|im_start|>assistant\n'
    found = processor.apply_chat_template(
        chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors='pt'
    )
    assert_same(found, processor(images=[IMAGES[0]], text=[text], return_tensors='pt'))


def test_another_number_of_placeholders_than_images_is_refused(processor):
    for images in (IMAGES[:1], None):
        with pytest.raises(ValueError, match=r'Found (total )?2 <\|image_pad\|> tokens'):
            processor(images=images, text=f'{IMAGE_SPAN}{IMAGE_SPAN}')


def test_the_number_of_placeholders_is_known_before_the_images(processor):
    sizes = [(image.height, image.width) for image in IMAGES]
    expected = processor(images=IMAGES, text=TEXTS, padding=True, return_tensors='pt')
    found = processor._get_num_multimodal_tokens(image_sizes=sizes)
    assert sum(found.num_image_tokens) == int((expected['mm_token_type_ids'] == 1).sum())
    assert sum(found.num_image_patches) == len(expected['pixel_values'])
