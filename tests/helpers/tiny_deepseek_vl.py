"""Tiny DeepSeek-VL: random weights, the stock classes, and the published grid of 24 x 24 tokens."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    DeepseekVLConfig,
    DeepseekVLForConditionalGeneration,
    DeepseekVLHybridConfig,
    DeepseekVLHybridForConditionalGeneration,
    DeepseekVLHybridImageProcessor,
    DeepseekVLHybridProcessor,
    DeepseekVLImageProcessor,
    DeepseekVLProcessor,
    PreTrainedModel,
    ProcessorMixin,
    TokenizersBackend,
)

DEEPSEEK_VL_FAMILIES = ('deepseek_vl', 'deepseek_vl_hybrid')
BOS, EOS = '<｜begin▁of▁sentence｜>', '<｜end▁of▁sentence｜>'  # noqa: RUF001 (DeepSeek's bars)
IMAGE_TOKEN = '<image_placeholder>'
PROMPT_TEMPLATE = 'User: <image>{prompt}\n\nAssistant:'
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].capitalize() }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image_placeholder>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '\n\n' }}{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
HIGH_RES = 512
"""Side in px of the tiny hybrid's fine frame; 1024 in the published one, which takes a second for each image."""


def tiny_processor(model_type: str = 'deepseek_vl', *, high_res: int = HIGH_RES) -> ProcessorMixin:
    """The family's own processor, with the normalization that is published, over a tokenizer of 256 bytes."""
    half = {'image_mean': [0.5] * 3, 'image_std': [0.5] * 3}
    if model_type == 'deepseek_vl':
        return DeepseekVLProcessor(
            image_processor=DeepseekVLImageProcessor(**half), tokenizer=_tokenizer(), chat_template=CHAT_TEMPLATE
        )
    return DeepseekVLHybridProcessor(
        image_processor=DeepseekVLHybridImageProcessor(**half, high_res_size={'height': high_res, 'width': high_res}),
        tokenizer=_tokenizer(),
        chat_template=CHAT_TEMPLATE,
    )


def tiny_lmm(model_type: str = 'deepseek_vl', *, layers: int = 2, seed: int = 0) -> PreTrainedModel:
    """Grouped-query attention, 4 query heads over 2 key heads; the fine tower has a windowed and two full blocks."""
    tokenizer = _tokenizer()
    configs = {
        'text_config': {
            'model_type': 'llama',
            'vocab_size': len(tokenizer),
            'hidden_size': 32,
            'intermediate_size': 48,
            'num_hidden_layers': layers,
            'num_attention_heads': 4,
            'num_key_value_heads': 2,
            'initializer_range': 0.2,
            'pad_token_id': None,
            'bos_token_id': None,
            'eos_token_id': None,
        },
        'vision_config': {
            'model_type': 'siglip_vision_model',
            'hidden_size': 16,
            'intermediate_size': 24,
            'num_hidden_layers': 2,
            'num_attention_heads': 2,
            'image_size': 384,
            'patch_size': 16,
            'vision_use_head': False,
        },
        'image_token_id': tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
    }
    torch.manual_seed(seed)
    if model_type == 'deepseek_vl':
        return DeepseekVLForConditionalGeneration(DeepseekVLConfig(**configs)).eval()
    configs['high_res_vision_config'] = {
        'model_type': 'sam_vision_model',
        'hidden_size': 16,
        'output_channels': 8,
        'num_hidden_layers': 3,
        'num_attention_heads': 2,
        'image_size': HIGH_RES,
        'patch_size': 16,
        'mlp_dim': 24,
        'window_size': 8,
        'global_attn_indexes': [1, 2],
        'initializer_range': 0.2,
    }
    lmm = DeepseekVLHybridForConditionalGeneration(DeepseekVLHybridConfig(**configs)).eval()
    with torch.no_grad():
        lmm.model.high_res_vision_alpha.fill_(0.5)  # zero in a new model, which would hide a part of the tower
        # Random strided convolutions blur a cell into those around it: the coarse tower says where something is.
        lmm.model.aligner.high_res_vision_proj.weight.mul_(0.2)
    return lmm


def _tokenizer() -> TokenizersBackend:
    """Bytes, as DeepSeek's tokenizer has them, and its BOS in front of every text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: index for index, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([BOS, EOS, IMAGE_TOKEN])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f'{BOS} $A', special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return TokenizersBackend(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        extra_special_tokens={'image_token': IMAGE_TOKEN},
    )
