"""The sizes of published LMMs, to build one with random weights where there is no hub.

Where the values come from (seen in November 2026; the hub itself could not be asked):

- Qwen2-VL-7B and Qwen2.5-VL-7B: vocabulary of 152,064 rows (QwenLM/Qwen3-VL issue 1973), a ``lm_head`` of its own.
- Qwen2.5-VL-3B: its config.json (sophgo/LLM-TPU, models/Qwen2_5_VL).
- Qwen2.5-VL-72B: table 1 of its report (2502.13923). 32B: the text of Qwen2.5-32B (2412.15115, table 1) and the vision
  tower of the 72B.
- Qwen3-VL-4B: its config.json, copied into code that builds one. 8B: its text as a checker of its config.json expects
  it; its vision tower as huggingface/pytorch-image-models pull request 2765 lists it; a ``lm_head`` of its own as
  Comfy-Org/ComfyUI pull request 14298 says; that its deepstack reads layers 8, 16 and 24 is the class's default.
- Qwen3.5-4B: two copies of its text config; vision tower from the same pull request of timm. 9B: defaults of the
  classes of transformers, which are named after it, and the same list of vision towers.
- LLaVA-1.5-7B: the config that transformers logs when it loads the checkpoint.
- LLaVA-1.6: transformers' conversion script (Vicuna-7B-v1.5 or Mistral-7B-Instruct-v0.2, two tokens more, padded to 64)
  and default pinpoints; Mistral without sliding windows (huggingface/trl pull request 7204).
- DeepSeek-VL: transformers' conversion scripts, which also name a ``lm_head`` among the weights.
"""

import copy
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

_MROPE = {'rope_type': 'default', 'rope_theta': 1e6, 'mrope_section': [16, 24, 24]}
# Ids of tokens that a small vocabulary lacks.
_NO_IDS = {'bos_token_id': None, 'eos_token_id': None, 'pad_token_id': None}
_QWEN2_2B = {
    'num_hidden_layers': 28, 'hidden_size': 1536, 'intermediate_size': 8960,
    'num_attention_heads': 12, 'num_key_value_heads': 2, 'vocab_size': 151936,
    'rms_norm_eps': 1e-6, 'rope_parameters': _MROPE, **_NO_IDS,
}  # fmt: skip
_QWEN2_3B = _QWEN2_2B | {
    'num_hidden_layers': 36, 'hidden_size': 2048, 'intermediate_size': 11008, 'num_attention_heads': 16,
}  # fmt: skip
_QWEN2_7B = _QWEN2_2B | {
    'hidden_size': 3584, 'intermediate_size': 18944, 'num_attention_heads': 28, 'num_key_value_heads': 4,
    'vocab_size': 152064,
}  # fmt: skip
_QWEN2_32B = _QWEN2_7B | {
    'num_hidden_layers': 64, 'hidden_size': 5120, 'intermediate_size': 27648, 'num_attention_heads': 40,
    'num_key_value_heads': 8,
}  # fmt: skip
_QWEN2_72B = _QWEN2_32B | {
    'num_hidden_layers': 80, 'hidden_size': 8192, 'intermediate_size': 29568, 'num_attention_heads': 64,
}  # fmt: skip
_QWEN3_4B = {
    'num_hidden_layers': 36, 'hidden_size': 2560, 'intermediate_size': 9728, 'head_dim': 128,
    'num_attention_heads': 32, 'num_key_value_heads': 8, 'vocab_size': 151936, 'rms_norm_eps': 1e-6,
    'rope_parameters': {
        'rope_type': 'default', 'rope_theta': 5e6, 'mrope_section': [24, 20, 20], 'mrope_interleaved': True,
    },
    **_NO_IDS,
}  # fmt: skip
_QWEN3_5_4B = {
    'num_hidden_layers': 32, 'hidden_size': 2560, 'intermediate_size': 9216, 'head_dim': 256,
    'num_attention_heads': 16, 'num_key_value_heads': 4, 'vocab_size': 248320, 'rms_norm_eps': 1e-6,
    'layer_types': [*['linear_attention'] * 3, 'full_attention'] * 8, 'linear_conv_kernel_dim': 4,
    'linear_num_key_heads': 16, 'linear_key_head_dim': 128, 'linear_num_value_heads': 32, 'linear_value_head_dim': 128,
    'rope_parameters': {
        'rope_type': 'default', 'rope_theta': 1e7, 'mrope_section': [11, 11, 10], 'mrope_interleaved': True,
        'partial_rotary_factor': 0.25,
    },
    **_NO_IDS,
}  # fmt: skip
_VICUNA_7B = {
    'model_type': 'llama', 'num_hidden_layers': 32, 'hidden_size': 4096, 'intermediate_size': 11008,
    'num_attention_heads': 32, 'vocab_size': 32064, 'rms_norm_eps': 1e-5,
}  # fmt: skip
_MISTRAL_7B = _VICUNA_7B | {
    'model_type': 'mistral', 'intermediate_size': 14336, 'num_key_value_heads': 8, 'sliding_window': None,
    'rope_parameters': {'rope_type': 'default', 'rope_theta': 1e6},
}  # fmt: skip
_DEEPSEEK_7B = {
    'model_type': 'llama', 'num_hidden_layers': 30, 'hidden_size': 4096, 'intermediate_size': 11008,
    'num_attention_heads': 32, 'vocab_size': 102400,
}  # fmt: skip
_DEEPSEEK_1_3B = _DEEPSEEK_7B | {
    'num_hidden_layers': 24, 'hidden_size': 2048, 'intermediate_size': 5632, 'num_attention_heads': 16,
}  # fmt: skip

_QWEN2_VISION = {'depth': 32, 'embed_dim': 1280, 'mlp_ratio': 4, 'num_heads': 16}
_QWEN2_5_VISION = {
    'depth': 32, 'hidden_size': 1280, 'intermediate_size': 3420, 'num_heads': 16,
    'fullatt_block_indexes': [7, 15, 23, 31],
}  # fmt: skip
_QWEN2_5_VISION_L = _QWEN2_5_VISION | {'intermediate_size': 3456}
_QWEN3_VISION_L = {'depth': 24, 'hidden_size': 1024, 'intermediate_size': 4096, 'num_heads': 16}
_QWEN3_VISION_SO = {'depth': 27, 'hidden_size': 1152, 'intermediate_size': 4304, 'num_heads': 16}
_CLIP_L_336 = {
    'model_type': 'clip_vision_model', 'num_hidden_layers': 24, 'hidden_size': 1024, 'intermediate_size': 4096,
    'num_attention_heads': 16, 'image_size': 336, 'patch_size': 14, 'projection_dim': 768,
}  # fmt: skip
_SIGLIP_L_384 = {
    'model_type': 'siglip_vision_model', 'num_hidden_layers': 24, 'hidden_size': 1024, 'intermediate_size': 4096,
    'num_attention_heads': 16, 'image_size': 384, 'patch_size': 16, 'hidden_act': 'gelu', 'vision_use_head': False,
}  # fmt: skip
_SAM_B = {
    'model_type': 'sam_vision_model', 'num_hidden_layers': 12, 'hidden_size': 768, 'num_attention_heads': 12,
    'image_size': 1024, 'patch_size': 16, 'global_attn_indexes': [2, 5, 8, 11],
}  # fmt: skip

_QWEN = {'image_token_id': 151655, 'video_token_id': 151656}
_QWEN3_5 = {'image_token_id': 248056, 'video_token_id': 248057}
_LLAVA = {'image_token_id': 32000, 'tie_word_embeddings': False, 'vision_config': _CLIP_L_336}
_LLAVA_NEXT = _LLAVA | {'image_grid_pinpoints': [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]}
_DEEPSEEK = {'image_token_id': 100015, 'tie_word_embeddings': False, 'vision_config': _SIGLIP_L_384}
PUBLISHED: dict[str, dict[str, Any]] = {
    'Qwen/Qwen2-VL-2B-Instruct': _QWEN | {
        'model_type': 'qwen2_vl', 'tie_word_embeddings': True, 'text_config': _QWEN2_2B,
        'vision_config': _QWEN2_VISION | {'hidden_size': 1536},
    },
    'Qwen/Qwen2-VL-7B-Instruct': _QWEN | {
        'model_type': 'qwen2_vl', 'tie_word_embeddings': False, 'text_config': _QWEN2_7B,
        'vision_config': _QWEN2_VISION | {'hidden_size': 3584},
    },
    'Qwen/Qwen2.5-VL-3B-Instruct': _QWEN | {
        'model_type': 'qwen2_5_vl', 'tie_word_embeddings': True, 'text_config': _QWEN2_3B,
        'vision_config': _QWEN2_5_VISION | {'out_hidden_size': 2048},
    },
    'Qwen/Qwen2.5-VL-7B-Instruct': _QWEN | {
        'model_type': 'qwen2_5_vl', 'tie_word_embeddings': False, 'text_config': _QWEN2_7B,
        'vision_config': _QWEN2_5_VISION | {'out_hidden_size': 3584},
    },
    'Qwen/Qwen2.5-VL-32B-Instruct': _QWEN | {
        'model_type': 'qwen2_5_vl', 'tie_word_embeddings': False, 'text_config': _QWEN2_32B,
        'vision_config': _QWEN2_5_VISION_L | {'out_hidden_size': 5120},
    },
    'Qwen/Qwen2.5-VL-72B-Instruct': _QWEN | {
        'model_type': 'qwen2_5_vl', 'tie_word_embeddings': False, 'text_config': _QWEN2_72B,
        'vision_config': _QWEN2_5_VISION_L | {'out_hidden_size': 8192},
    },
    'Qwen/Qwen3-VL-4B-Instruct': _QWEN | {
        'model_type': 'qwen3_vl', 'tie_word_embeddings': True, 'text_config': _QWEN3_4B,
        'vision_config': _QWEN3_VISION_L | {'out_hidden_size': 2560, 'deepstack_visual_indexes': [5, 11, 17]},
    },
    'Qwen/Qwen3-VL-8B-Instruct': _QWEN | {
        'model_type': 'qwen3_vl', 'tie_word_embeddings': False,
        'text_config': _QWEN3_4B | {'hidden_size': 4096, 'intermediate_size': 12288},
        'vision_config': _QWEN3_VISION_SO | {'out_hidden_size': 4096, 'deepstack_visual_indexes': [8, 16, 24]},
    },
    'Qwen/Qwen3.5-4B': _QWEN3_5 | {
        'model_type': 'qwen3_5', 'tie_word_embeddings': True, 'text_config': _QWEN3_5_4B,
        'vision_config': _QWEN3_VISION_L | {'out_hidden_size': 2560},
    },
    'Qwen/Qwen3.5-9B': _QWEN3_5 | {
        'model_type': 'qwen3_5', 'tie_word_embeddings': False,
        'text_config': _QWEN3_5_4B | {'hidden_size': 4096, 'intermediate_size': 12288},
        'vision_config': _QWEN3_VISION_SO | {'out_hidden_size': 4096},
    },
    'llava-hf/llava-1.5-7b-hf': _LLAVA | {'model_type': 'llava', 'text_config': _VICUNA_7B},
    'llava-hf/llava-v1.6-vicuna-7b-hf': _LLAVA_NEXT | {'model_type': 'llava_next', 'text_config': _VICUNA_7B},
    'llava-hf/llava-v1.6-mistral-7b-hf': _LLAVA_NEXT | {'model_type': 'llava_next', 'text_config': _MISTRAL_7B},
    'deepseek-community/deepseek-vl-1.3b-chat': _DEEPSEEK | {
        'model_type': 'deepseek_vl', 'text_config': _DEEPSEEK_1_3B,
    },
    'deepseek-community/deepseek-vl-7b-chat': _DEEPSEEK | {
        'model_type': 'deepseek_vl_hybrid', 'text_config': _DEEPSEEK_7B, 'high_res_vision_config': _SAM_B,
    },
}  # fmt: skip
"""By name on the hub; what of ``config.json`` decides shapes, positions and norms."""

_DEPTHS = ('num_hidden_layers', 'depth')
_LAYER_LISTS = ('fullatt_block_indexes', 'deepstack_visual_indexes', 'global_attn_indexes')


def published_config(
    name: str, *, image_token_id: int | None = None, vocab_size: int | None = None, depth: int | None = None
) -> PreTrainedConfig:
    """Return the config of a published LMM.

    Args:
        name: one of :data:`PUBLISHED`.
        image_token_id: the tokenizer's; the video token's is the next. None for the published ids.
        vocab_size: rows of the embedding; None for the published number.
        depth: at most so many layers of text and of each vision tower, text's last ones; None for all of them.

    Raises:
        ValueError: sizes of this name are not known.

    >>> published_config('llava-hf/llava-1.5-7b-hf').text_config.hidden_size
    4096
    """
    if name not in PUBLISHED:
        raise ValueError(f'no published sizes of {name!r}; known are {", ".join(PUBLISHED)}')
    values = copy.deepcopy(PUBLISHED[name])
    if image_token_id is not None:
        ids = {'image_token_id': image_token_id, 'video_token_id': image_token_id + 1}
        values |= {key: ids[key] for key in ids.keys() & values.keys()}
    if vocab_size is not None:
        values['text_config']['vocab_size'] = vocab_size
    if depth is not None:
        for part in (value for value in values.values() if isinstance(value, dict)):
            _cut(part, depth)
    return AutoConfig.for_model(**values)


def _cut(part: dict[str, Any], depth: int) -> None:
    """Leave at most ``depth`` layers, and of a list of layers those that are left, or else the last one."""
    key = next(key for key in _DEPTHS if key in part)
    part[key] = depth = min(depth, part[key])
    for name in set(_LAYER_LISTS) & part.keys():
        part[name] = [layer for layer in part[name] if layer < depth] or [depth - 1]
    if 'layer_types' in part:
        part['layer_types'] = part['layer_types'][-depth:]  # the last of them has attention
