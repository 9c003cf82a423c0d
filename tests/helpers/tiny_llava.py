"""Tiny LLaVA-1.5 and LLaVA-NeXT with random weights, of the stock classes, for tests. Every one is deterministic.

The squares and patches are the real ones: 336 px, 14 px, 24 x 24 tokens, unless a test asks for smaller squares.
"""

from typing import Any

import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks
from PIL import Image
from tiny_grounder import LOSSES
from tiny_models import tiny_sam
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    LlavaProcessor,
    MistralConfig,
    PreTrainedModel,
)

from flmm.datasets import RefCOCO2PNG
from flmm.datasets.llava_image_processor import LlavaImageProcessorWrapper, LlavaNextImageProcessorWrapper
from flmm.models import FrozenLMM, SAMWrapper
from flmm.models.frozen_llava import FrozenLlavaNextSAM, FrozenLlavaSAM
from flmm.structures import GroundingSample

MODEL_TYPES = ('llava', 'llava_next')
IMAGE_TOKEN = '<image>'
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}{% endfor %} {% endfor %}"
    '{% if add_generation_prompt %}ASSISTANT:{% endif %}'
)
PINPOINTS = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
"""The published resolutions (height, width), in tiles."""


def tiny_tokenizer() -> LlamaTokenizer:
    """Llama's own kind over 256 bytes: a text begins with <s>, and each piece of text with a blank."""
    names = ['<unk>', '<s>', '</s>', *(f'<0x{byte:02X}>' for byte in range(256)), '▁']
    return LlamaTokenizer(
        vocab={name: index for index, name in enumerate(names)},
        merges=[],
        add_bos_token=True,
        extra_special_tokens=[IMAGE_TOKEN],
    )


def tiny_processor(model_type: str = 'llava', *, side: int = 336) -> LlavaProcessor | LlavaNextProcessor:
    """The family's own processor, with the image processor and the settings of the published checkpoints."""
    size = {'size': {'shortest_edge': side}, 'crop_size': {'height': side, 'width': side}}
    pinpoints = [[side * rows, side * columns] for rows, columns in PINPOINTS]
    processor_class, image_processor = {
        'llava': (LlavaProcessor, CLIPImageProcessor(**size)),
        'llava_next': (LlavaNextProcessor, LlavaNextImageProcessor(**size, image_grid_pinpoints=pinpoints)),
    }[model_type]
    return processor_class(
        image_processor=image_processor,
        tokenizer=tiny_tokenizer(),
        patch_size=14,
        vision_feature_select_strategy='default',
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def tiny_lmm(
    model_type: str = 'llava', *, layers: int = 2, seed: int = 0, side: int = 336, text: str = 'llama', **config: Any
) -> PreTrainedModel:
    """Grouped-query attention, 4 query heads over 2 key heads; ``text`` is 'llama' or 'mistral'."""
    config_class, model_class = {
        'llava': (LlavaConfig, LlavaForConditionalGeneration),
        'llava_next': (LlavaNextConfig, LlavaNextForConditionalGeneration),
    }[model_type]
    text_class, windows = {'llama': (LlamaConfig, {}), 'mistral': (MistralConfig, {'sliding_window': None})}[text]
    tokenizer = tiny_tokenizer()
    if model_type == 'llava_next':
        config = {'image_grid_pinpoints': [[side * rows, side * columns] for rows, columns in PINPOINTS], **config}
    torch.manual_seed(seed)
    model = model_class(
        config_class(
            vision_config=CLIPVisionConfig(
                hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2, image_size=side,
                patch_size=14, initializer_range=0.2,
            ),
            text_config=text_class(
                vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=layers,
                num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2, **windows,
            ),
            image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
            **config,
        )
    )  # fmt: skip
    return model.eval()


def tiny_wrapper(
    model_type: str = 'llava', **kwargs: Any
) -> LlavaImageProcessorWrapper | LlavaNextImageProcessorWrapper:
    """The wrapper of the tiny processor; ``kwargs`` are tiny_processor's."""
    wrapper = {'llava': LlavaImageProcessorWrapper, 'llava_next': LlavaNextImageProcessorWrapper}[model_type]
    return wrapper(
        pretrained_model_name_or_path=tiny_processor(model_type, **kwargs),
        prompt_template='USER: <image>\n{prompt} ASSISTANT:',
    )


def tiny_grounder(model_type: str = 'llava', **kwargs: Any) -> FrozenLMM:
    """The family's FrozenLMM of tiny parts; ``kwargs`` are tiny_lmm's."""
    torch.manual_seed(0)
    return {'llava': FrozenLlavaSAM, 'llava_next': FrozenLlavaNextSAM}[model_type](
        lmm=tiny_lmm(model_type, **kwargs),
        mask_head={'type': 'flmm.UNetHead', 'base_channels': 4, 'upsample_input': 16},
        sam=SAMWrapper(sam=tiny_sam()),
        **LOSSES,
    )


def random_image(height: int, width: int, seed: int = 0) -> Image.Image:
    """An image of random pixels."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def llava_sample(
    wrapper: LlavaImageProcessorWrapper | LlavaNextImageProcessorWrapper,
    phrases: list[str],
    *,
    size: tuple[int, int],
    image: Image.Image | None = None,
    independent: bool = True,
) -> GroundingSample:
    """A sample of an image of ``size`` (height, width); the mask of each phrase is a rectangle."""
    masks = np.zeros((len(phrases), *size), dtype=np.uint8)
    for index, mask in enumerate(masks):
        mask[size[0] // (4 + index) : size[0] // 2, size[1] // 4 : size[1] // 2 + index] = 1
    return RefCOCO2PNG(image_processor=wrapper, prompt='What is it?', independent=independent).transform(
        {
            'img_path': f'random_{size[0]}_{size[1]}.jpg',
            'image': random_image(*size) if image is None else image,
            'text': phrases,
            'gt_masks': BitmapMasks(masks, *size),
        }
    )


def llava_batch(model_type: str, *, side: int) -> list[GroundingSample]:
    """Three samples that differ in image size, number of phrases and sequence length."""
    wrapper = tiny_wrapper(model_type, side=side)
    return [
        llava_sample(wrapper, ['a', 'some blue circle'], size=(100, 160)),
        llava_sample(wrapper, ['red', 'the other one', 'b'], size=(90, 90)),
        llava_sample(wrapper, ['cat'], size=(300, 60)),
    ]
