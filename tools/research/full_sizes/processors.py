"""Processors of published LMMs without a download: the image settings are published, the tokenizer has 256 bytes."""

from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import ProcessorMixin, TokenizersBackend

from flmm.families import FAMILIES

BOS, IMAGE_TOKEN, VIDEO_TOKEN = '<s>', '<image>', '<video>'
# One user turn, for the families whose configs take the checkpoint's own template.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}\n{% endfor %}"
    '{% if add_generation_prompt %}assistant: {% endif %}'
)
_HALF = {'image_mean': [0.5] * 3, 'image_std': [0.5] * 3}
_SQUARE_336 = {'size': {'shortest_edge': 336}, 'crop_size': {'height': 336, 'width': 336}}
_PATCHES_336 = {'patch_size': 14, 'vision_feature_select_strategy': 'default', 'num_additional_image_tokens': 1}
# Bounds of the size in px as the published preprocessors have them.
_QWEN2 = {'patch_size': 14, 'size': {'shortest_edge': 4 * 28**2, 'longest_edge': 16384 * 28**2}}
_QWEN3 = _HALF | {'patch_size': 16, 'size': {'shortest_edge': 64 * 32**2, 'longest_edge': 16384 * 32**2}}
# Model type -> class and settings of its image processor, class of its video processor, settings of the processor.
_IMAGES: dict[str, tuple[str, dict[str, Any], str | None, dict[str, Any]]] = {
    'qwen2_vl': ('Qwen2VLImageProcessor', _QWEN2, 'Qwen2VLVideoProcessor', {}),
    'qwen2_5_vl': ('Qwen2VLImageProcessor', _QWEN2, 'Qwen2VLVideoProcessor', {}),
    'qwen3_vl': ('Qwen2VLImageProcessor', _QWEN3, 'Qwen3VLVideoProcessor', {}),
    'qwen3_5': ('Qwen2VLImageProcessor', _QWEN3, 'Qwen3VLVideoProcessor', {}),
    'llava': ('CLIPImageProcessor', _SQUARE_336, None, _PATCHES_336),
    'llava_next': ('LlavaNextImageProcessor', _SQUARE_336, None, _PATCHES_336),
    'deepseek_vl': ('DeepseekVLImageProcessor', _HALF, None, {}),
    'deepseek_vl_hybrid': ('DeepseekVLHybridImageProcessor', _HALF, None, {}),
}


def published_processor(model_type: str) -> ProcessorMixin:
    """Build the processor of a family, with the image settings of its published checkpoints.

    Raises:
        ValueError: no settings are known of this model type.
    """
    if model_type not in _IMAGES:
        raise ValueError(f'no image settings of model type {model_type!r}; known are {", ".join(_IMAGES)}')
    images, image_settings, videos, settings = _IMAGES[model_type]
    readers = {'image_processor': getattr(transformers, images)(**image_settings)}
    if videos is not None:
        readers['video_processor'] = getattr(transformers, videos)()
    processor_class = getattr(transformers, FAMILIES[model_type].processor)
    return processor_class(tokenizer=_tokenizer(), chat_template=CHAT_TEMPLATE, **readers, **settings)


def _tokenizer() -> TokenizersBackend:
    """Bytes, with a token that begins a text; the id of the video token follows that of the image token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: index for index, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([BOS, IMAGE_TOKEN, VIDEO_TOKEN])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f'{BOS} $A', special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return TokenizersBackend(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        extra_special_tokens={'image_token': IMAGE_TOKEN, 'video_token': VIDEO_TOKEN},
    )
