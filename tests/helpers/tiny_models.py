"""Tiny models with random weights, of the stock classes, for tests. Every one is deterministic."""

from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from flmm.models.sam import SegmentAnythingSam, build_small_sam

SPECIAL_TOKENS = ['<|im_start|>', '<|im_end|>', '<|vision_start|>', '<|vision_end|>', '<|image_pad|>', '<|video_pad|>']
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}"
    '{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
)
FAMILIES = ('qwen2_vl', 'qwen2_5_vl', 'qwen3_vl', 'qwen3_5')
PATCH_SIZES = {'qwen2_vl': 14, 'qwen2_5_vl': 14, 'qwen3_vl': 16, 'qwen3_5': 16}
"""In px; a unit has twice as many."""

_LMMS = {
    'qwen2_vl': (Qwen2VLConfig, Qwen2VLForConditionalGeneration),
    'qwen2_5_vl': (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration),
    'qwen3_vl': (Qwen3VLConfig, Qwen3VLForConditionalGeneration),
    'qwen3_5': (Qwen3_5Config, Qwen3_5ForConditionalGeneration),
}
_TOWER = {'hidden_size': 16, 'intermediate_size': 24, 'out_hidden_size': 32}
_VISION = {
    'qwen2_vl': {'embed_dim': 16, 'hidden_size': 32, 'mlp_ratio': 2},
    'qwen2_5_vl': {**_TOWER, 'fullatt_block_indexes': [1]},
    'qwen3_vl': {**_TOWER, 'num_position_embeddings': 49, 'deepstack_visual_indexes': [0, 1]},
    'qwen3_5': {**_TOWER, 'num_position_embeddings': 49},
}
"""Of the vision towers 2.5 has a windowed and a full block, 3 and 3.5 have a table of 7x7 learned positions."""
_ROPE = {'rope_type': 'default', 'rope_theta': 100.0, 'mrope_section': [2, 1, 1]}
_TEXT = {
    'qwen3_vl': {'head_dim': 8},
    'qwen3_5': {
        'head_dim': 16,
        'rope_parameters': {**_ROPE, 'partial_rotary_factor': 0.5},
        'linear_key_head_dim': 8,
        'linear_value_head_dim': 8,
        'linear_num_key_heads': 2,
        'linear_num_value_heads': 4,
    },
}


def tiny_processor(
    family: str = 'qwen2_5_vl',
) -> Qwen2VLProcessor | Qwen2_5_VLProcessor | Qwen3VLProcessor:
    """The family's own processor over a tokenizer of 256 bytes."""
    tokenizer = Qwen2Tokenizer(
        vocab={symbol: index for index, symbol in enumerate(sorted(ByteLevel.alphabet()))},
        merges=[],
        additional_special_tokens=SPECIAL_TOKENS,
    )
    if family in ('qwen2_vl', 'qwen2_5_vl'):
        processor_class = {'qwen2_vl': Qwen2VLProcessor, 'qwen2_5_vl': Qwen2_5_VLProcessor}[family]
        readers = {'image_processor': Qwen2VLImageProcessor(), 'video_processor': Qwen2VLVideoProcessor()}
    else:  # the published checkpoints' settings, but for their larger bounds of the size
        processor_class, half = Qwen3VLProcessor, [0.5, 0.5, 0.5]
        readers = {
            'image_processor': Qwen2VLImageProcessor(patch_size=16, image_mean=half, image_std=half),
            'video_processor': Qwen3VLVideoProcessor(size={'shortest_edge': 4096, 'longest_edge': 32 * 32 * 768}),
        }
    return processor_class(tokenizer=tokenizer, chat_template=CHAT_TEMPLATE, **readers)


def tiny_lmm(family: str = 'qwen2_5_vl', *, layers: int = 2, seed: int = 0) -> PreTrainedModel:
    """Grouped-query attention, 4 query heads over 2 key heads; in Qwen3.5 every second layer has it, the first not."""
    tokenizer = tiny_processor(family).tokenizer
    config_class, model_class = _LMMS[family]
    text = {
        'vocab_size': len(tokenizer),
        'hidden_size': 32,
        'intermediate_size': 48,
        'num_hidden_layers': layers,
        'num_attention_heads': 4,
        'num_key_value_heads': 2,
        'initializer_range': 0.3,
        'rope_parameters': _ROPE,
        'pad_token_id': None,
        'bos_token_id': None,
        'eos_token_id': None,
    }
    if family == 'qwen3_5':
        text['layer_types'] = [('linear_attention', 'full_attention')[layer % 2] for layer in range(layers)]
    config = config_class(
        vision_config={
            'depth': 2,
            'num_heads': 2,
            'patch_size': PATCH_SIZES[family],
            'spatial_merge_size': 2,
            'initializer_range': 0.2,
            **_VISION[family],
        },
        text_config=text | _TEXT.get(family, {}),
        image_token_id=tokenizer.convert_tokens_to_ids('<|image_pad|>'),
        video_token_id=tokenizer.convert_tokens_to_ids('<|video_pad|>'),
        vision_start_token_id=tokenizer.convert_tokens_to_ids('<|vision_start|>'),
        vision_end_token_id=tokenizer.convert_tokens_to_ids('<|vision_end|>'),
    )
    torch.manual_seed(seed)
    return model_class(config).eval()


def saved_tiny_model(folder: Path) -> Path:
    """Write a tiny Qwen2.5-VL and its processor, and return their folder."""
    tiny_lmm().save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


SAM_256 = {
    'encoder_embed_dim': 32,
    'encoder_depth': 2,
    'encoder_num_heads': 2,
    'encoder_global_attn_indexes': (1,),
    'prompt_embed_dim': 32,
    'decoder_mlp_dim': 64,
}
"""Arguments of a Sam of 256 px, SAM's own way of patching and of windows."""


def tiny_sam(seed: int = 0) -> SegmentAnythingSam:
    """A Sam of 64 px with random weights."""
    torch.manual_seed(seed)
    return build_small_sam(
        image_size=64, patch_size=8, encoder_embed_dim=16, encoder_depth=2, encoder_num_heads=2,
        encoder_global_attn_indexes=(1,), window_size=4, prompt_embed_dim=16, decoder_num_heads=2, decoder_mlp_dim=32,
    )  # fmt: skip
