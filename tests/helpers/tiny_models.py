"""Tiny models with random weights, of the stock classes, for tests. Every one is deterministic."""

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
)

from flmm.models.sam import SegmentAnythingSam, build_small_sam

SPECIAL_TOKENS = ['<|im_start|>', '<|im_end|>', '<|vision_start|>', '<|vision_end|>', '<|image_pad|>', '<|video_pad|>']
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    '{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
)
FAMILIES = ('qwen2_vl', 'qwen2_5_vl')


def tiny_processor(family: str = 'qwen2_5_vl') -> Qwen2VLProcessor | Qwen2_5_VLProcessor:
    """The family's own processor over a tokenizer of 256 bytes."""
    tokenizer = Qwen2Tokenizer(
        vocab={symbol: index for index, symbol in enumerate(sorted(ByteLevel.alphabet()))},
        merges=[],
        additional_special_tokens=SPECIAL_TOKENS,
    )
    processor_class = {'qwen2_vl': Qwen2VLProcessor, 'qwen2_5_vl': Qwen2_5_VLProcessor}[family]
    return processor_class(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )


def tiny_lmm(family: str = 'qwen2_5_vl', *, layers: int = 2, seed: int = 0) -> PreTrainedModel:
    """Grouped-query attention, 4 query heads over 2 key heads; vision with a windowed and a full block (2.5)."""
    tokenizer = tiny_processor(family).tokenizer
    ids = {
        f'{name}_token_id': tokenizer.convert_tokens_to_ids(f'<|{name}|>') for name in ('vision_start', 'vision_end')
    }
    vision = {'depth': 2, 'num_heads': 2, 'patch_size': 14, 'spatial_merge_size': 2, 'initializer_range': 0.2}
    if family == 'qwen2_5_vl':
        vision |= {'hidden_size': 16, 'intermediate_size': 24, 'out_hidden_size': 32, 'fullatt_block_indexes': [1]}
    else:
        vision |= {'embed_dim': 16, 'hidden_size': 32, 'mlp_ratio': 2}
    config_class, model_class = {
        'qwen2_vl': (Qwen2VLConfig, Qwen2VLForConditionalGeneration),
        'qwen2_5_vl': (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration),
    }[family]
    config = config_class(
        vision_config=vision,
        text_config={
            'vocab_size': len(tokenizer),
            'hidden_size': 32,
            'intermediate_size': 48,
            'num_hidden_layers': layers,
            'num_attention_heads': 4,
            'num_key_value_heads': 2,
            'initializer_range': 0.3,
            'rope_parameters': {'rope_type': 'default', 'rope_theta': 100.0, 'mrope_section': [2, 1, 1]},
            'pad_token_id': None,
            'bos_token_id': None,
            'eos_token_id': None,
        },
        image_token_id=tokenizer.convert_tokens_to_ids('<|image_pad|>'),
        video_token_id=tokenizer.convert_tokens_to_ids('<|video_pad|>'),
        **ids,
    )
    torch.manual_seed(seed)
    return model_class(config).eval()


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
