"""The sizes of published LMMs, to build one with random weights where there is no hub."""

from transformers import PreTrainedConfig, Qwen2_5_VLConfig, Qwen2VLConfig

TEXT_SIZES = {
    'Qwen/Qwen2-VL-2B-Instruct': {
        'num_hidden_layers': 28,
        'hidden_size': 1536, 'intermediate_size': 8960, 'num_attention_heads': 12, 'num_key_value_heads': 2,
    },
    'Qwen/Qwen2-VL-7B-Instruct': {
        'num_hidden_layers': 28,
        'hidden_size': 3584, 'intermediate_size': 18944, 'num_attention_heads': 28, 'num_key_value_heads': 4,
    },
    'Qwen/Qwen2.5-VL-3B-Instruct': {
        'num_hidden_layers': 36,
        'hidden_size': 2048, 'intermediate_size': 11008, 'num_attention_heads': 16, 'num_key_value_heads': 2,
    },
    'Qwen/Qwen2.5-VL-7B-Instruct': {
        'num_hidden_layers': 28,
        'hidden_size': 3584, 'intermediate_size': 18944, 'num_attention_heads': 28, 'num_key_value_heads': 4,
    },
}  # fmt: skip


def published_config(
    name: str, *, image_token_id: int = 151655, vocab_size: int = 151936, depth: int | None = None
) -> PreTrainedConfig:
    """Return a config of the published widths and head counts.

    Args:
        name: one of :data:`TEXT_SIZES`.
        image_token_id: the tokenizer's; the video token's is the next.
        vocab_size: rows of the embedding.
        depth: layers of text and of vision; None for all of them.
    """
    text = {
        **TEXT_SIZES[name],
        **({'num_hidden_layers': depth} if depth else {}),
        'vocab_size': vocab_size,
        'rope_parameters': {'rope_type': 'default', 'rope_theta': 1e6, 'mrope_section': [16, 24, 24]},
        'bos_token_id': None,
        'eos_token_id': None,
        'pad_token_id': None,
    }
    ids = {'image_token_id': image_token_id, 'video_token_id': image_token_id + 1}
    if 'Qwen2.5' in name:
        vision = {
            'depth': depth or 32,
            'out_hidden_size': text['hidden_size'],
            'fullatt_block_indexes': [7, 15, 23, 31],
        }
        vision |= {'hidden_size': 1280, 'intermediate_size': 3420, 'num_heads': 16}
        return Qwen2_5_VLConfig(vision_config=vision, text_config=text, **ids)
    vision = {
        'depth': depth or 32,
        'embed_dim': 1280,
        'hidden_size': text['hidden_size'],
        'mlp_ratio': 4,
        'num_heads': 16,
    }
    return Qwen2VLConfig(vision_config=vision, text_config=text, **ids)
