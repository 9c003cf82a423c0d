"""Sizes of published LMMs: parameters as published, and what a reduced depth leaves."""

import pytest
import torch
from mmengine.config import Config
from tiny_refcoco import REPOSITORY
from transformers import AutoModelForImageTextToText

from flmm.models.head_selection import attention_layers
from flmm.models.published_lmms import PUBLISHED, published_config

PARAMETERS = {  # 1e9, a lm_head that is tied counted once
    'Qwen/Qwen2-VL-2B-Instruct': 2.21,
    'Qwen/Qwen2-VL-7B-Instruct': 8.29,
    'Qwen/Qwen2.5-VL-3B-Instruct': 3.75,
    'Qwen/Qwen2.5-VL-7B-Instruct': 8.29,
    'Qwen/Qwen2.5-VL-32B-Instruct': 33.45,
    'Qwen/Qwen2.5-VL-72B-Instruct': 73.41,
    'Qwen/Qwen3-VL-4B-Instruct': 4.44,  # no published number seen
    'Qwen/Qwen3-VL-8B-Instruct': 8.77,
    'Qwen/Qwen3.5-4B': 4.54,  # no published number seen; without the layer that predicts further tokens (MTP)
    'Qwen/Qwen3.5-9B': 9.41,  # no published number seen; without MTP
    'llava-hf/llava-1.5-7b-hf': 7.06,
    'llava-hf/llava-v1.6-vicuna-7b-hf': 7.06,
    'llava-hf/llava-v1.6-mistral-7b-hf': 7.57,
    'deepseek-community/deepseek-vl-1.3b-chat': 1.96,  # no published number seen
    'deepseek-community/deepseek-vl-7b-chat': 7.33,  # no published number seen
}


def test_every_published_lmm_is_counted():
    assert PARAMETERS.keys() == PUBLISHED.keys()


@pytest.mark.parametrize('name', PARAMETERS)
def test_parameters_are_as_many_as_published(name):
    with torch.device('meta'):
        lmm = AutoModelForImageTextToText.from_config(published_config(name))
    assert round(sum(parameter.numel() for parameter in lmm.parameters()) / 1e9, 2) == PARAMETERS[name]


LMMS = sorted((REPOSITORY / 'configs' / '_base_' / 'lmms').glob('*.py'))


@pytest.mark.parametrize('path', [path for path in LMMS if path.stem != 'demo'], ids=lambda path: path.stem)
def test_the_lmm_of_every_config_is_known(path):
    assert Config.fromfile(path).lmm.name_or_path in PUBLISHED


@pytest.mark.parametrize('name', PUBLISHED)
@pytest.mark.parametrize('depth', [1, 2])
def test_a_reduced_depth_leaves_layers_that_exist_and_attention(name, depth):
    config = published_config(name, depth=depth)
    assert config.text_config.num_hidden_layers == depth
    assert attention_layers(config.text_config)[-1] == depth - 1
    for part in (config.vision_config, getattr(config, 'high_res_vision_config', None)):
        if part is not None:
            assert part.num_hidden_layers == depth
            for key in ('fullatt_block_indexes', 'deepstack_visual_indexes', 'global_attn_indexes'):
                assert set(getattr(part, key, None) or [depth - 1]) == {depth - 1}


def test_ids_and_rows_are_the_published_ones_or_those_given():
    published = published_config('Qwen/Qwen2.5-VL-7B-Instruct')
    assert (published.image_token_id, published.video_token_id, published.text_config.vocab_size) == (
        151655, 151656, 152064,
    )  # fmt: skip
    given = published_config('Qwen/Qwen2.5-VL-7B-Instruct', image_token_id=7, vocab_size=300)
    assert (given.image_token_id, given.video_token_id, given.text_config.vocab_size) == (7, 8, 300)
    llava = published_config('llava-hf/llava-1.5-7b-hf', image_token_id=9)
    assert (llava.image_token_id, hasattr(llava, 'video_token_id')) == (9, False)
    # What one call changes, another does not see.
    assert published_config('llava-hf/llava-1.5-7b-hf').image_token_id == 32000


def test_an_unknown_name_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match="no published sizes of 'my/lmm'; known are Qwen/Qwen2-VL-2B-Instruct, "):
        published_config('my/lmm')
