"""The settings (``config.json``) of the published LMMs that the configs name, as far as sizes follow from them."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from flmm.models import published_lmms

VICUNA = {'model_type': 'llama', 'max_position_embeddings': 4096, 'rms_norm_eps': 1e-5, 'vocab_size': 32064}
MISTRAL = {
    'model_type': 'mistral', 'hidden_size': 4096, 'intermediate_size': 14336, 'num_hidden_layers': 32,
    'num_attention_heads': 32, 'num_key_value_heads': 8, 'max_position_embeddings': 32768, 'rms_norm_eps': 1e-5,
    'rope_theta': 1e6, 'sliding_window': None, 'vocab_size': 32064,
}  # fmt: skip
CLIP_L_336 = {
    'model_type': 'clip_vision_model', 'hidden_size': 1024, 'intermediate_size': 4096, 'num_hidden_layers': 24,
    'num_attention_heads': 16, 'image_size': 336, 'patch_size': 14, 'projection_dim': 768,
}  # fmt: skip
SIGLIP_L_384 = {
    'model_type': 'siglip_vision_model', 'hidden_size': 1024, 'intermediate_size': 4096, 'num_hidden_layers': 24,
    'num_attention_heads': 16, 'image_size': 384, 'patch_size': 16, 'vision_use_head': False,
}  # fmt: skip
SAM_B_1024 = {
    'model_type': 'sam_vision_model', 'hidden_size': 768, 'num_hidden_layers': 12, 'num_attention_heads': 12,
    'image_size': 1024, 'patch_size': 16, 'output_channels': 256, 'global_attn_indexes': [2, 5, 8, 11],
}  # fmt: skip
PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]


def _deepseek(hidden_size: int, intermediate_size: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        'model_type': 'llama', 'hidden_size': hidden_size, 'intermediate_size': intermediate_size,
        'num_hidden_layers': layers, 'num_attention_heads': heads, 'num_key_value_heads': heads,
        'max_position_embeddings': 16384, 'vocab_size': 102400,
    }  # fmt: skip


SETTINGS: dict[str, dict[str, Any]] = {
    'llava-hf/llava-1.5-7b-hf': {
        'model_type': 'llava',
        'image_token_index': 32000,
        'vision_config': CLIP_L_336,
        'text_config': VICUNA,
    },
    'llava-hf/llava-v1.6-vicuna-7b-hf': {
        'model_type': 'llava_next',
        'image_token_index': 32000,
        'image_grid_pinpoints': PINPOINTS,
        'vision_config': CLIP_L_336,
        'text_config': VICUNA,
    },
    'llava-hf/llava-v1.6-mistral-7b-hf': {
        'model_type': 'llava_next',
        'image_token_index': 32000,
        'image_grid_pinpoints': PINPOINTS,
        'vision_config': CLIP_L_336,
        'text_config': MISTRAL,
    },
    'deepseek-community/deepseek-vl-1.3b-chat': {
        'model_type': 'deepseek_vl',
        'image_token_id': 100015,
        'vision_config': SIGLIP_L_384,
        'text_config': _deepseek(2048, 5632, 24, 16),
    },
    'deepseek-community/deepseek-vl-7b-chat': {
        'model_type': 'deepseek_vl_hybrid',
        'image_token_id': 100015,
        'vision_config': SIGLIP_L_384,
        'high_res_vision_config': SAM_B_1024,
        'text_config': _deepseek(4096, 11008, 30, 32),
    },
}


def write_settings(folder: Path, name: str) -> Path:
    """Write the ``config.json`` of a published LMM, which is all that a conversion needs of it, into ``folder``."""
    folder.mkdir(exist_ok=True)
    (folder / 'config.json').write_text(json.dumps(SETTINGS[name]))
    return folder


def published_config(name: str) -> PreTrainedConfig:
    """The config of a published LMM, in full size."""
    return _config(SETTINGS[name]) if name in SETTINGS else published_lmms.published_config(name)


def shallow_config(name: str, *, vocab_size: int, image_token_id: int) -> PreTrainedConfig:
    """The config of a published LMM with its widths and head counts, one layer of text, and another vocabulary."""
    if name not in SETTINGS:
        return published_lmms.published_config(name, vocab_size=vocab_size, image_token_id=image_token_id, depth=1)
    settings = dict(SETTINGS[name])
    nothing = dict.fromkeys(('pad_token_id', 'bos_token_id', 'eos_token_id'))
    settings['text_config'] = {
        **settings['text_config'], 'num_hidden_layers': 1, 'vocab_size': vocab_size, **nothing,
    }  # fmt: skip
    # LLaVA reads the last layer of vision but one.
    settings['vision_config'] = {**settings['vision_config'], 'num_hidden_layers': 2}
    if 'high_res_vision_config' in settings:
        # Two of its layers: the hybrid also reads what comes out of the first global one.
        shallow = {'num_hidden_layers': 2, 'global_attn_indexes': [0, 1]}
        settings['high_res_vision_config'] = {**settings['high_res_vision_config'], **shallow}
    token = 'image_token_index' if 'image_token_index' in settings else 'image_token_id'
    return _config({**settings, token: image_token_id})


def _config(settings: dict[str, Any]) -> PreTrainedConfig:
    model_type, settings = settings['model_type'], {key: settings[key] for key in settings if key != 'model_type'}
    return AutoConfig.for_model(model_type, **settings)
