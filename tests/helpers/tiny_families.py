"""One tiny random model for each registered family, for the checks of tests/families. A new family adds a line."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tiny_deepseek_vl
import tiny_llava
import tiny_models
import torch
from mmdet.structures.mask import BitmapMasks
from PIL import Image
from tiny_grounder import LOSSES
from tiny_models import tiny_sam
from tiny_samples import is_image
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from flmm.datasets import RefCOCO2PNG
from flmm.families import FAMILIES
from flmm.models import FrozenLMM, SAMWrapper
from flmm.registry import MODELS, TRANSFORMS
from flmm.structures import GroundingSample


@dataclass(frozen=True, kw_only=True)
class TinyFamily:
    """How a family's tiny model is made.

    Args:
        processor: makes the processor.
        lmm: makes the LMM, of ``layers`` layers.
        image_processor: settings of the wrapper.
        needs_token_types: whether the stock forward reads ``mm_token_type_ids``.
    """

    processor: Callable[[str], ProcessorMixin]
    lmm: Callable[..., PreTrainedModel]
    image_processor: dict[str, Any] = field(default_factory=dict)
    needs_token_types: bool = False


_QWEN = TinyFamily(processor=tiny_models.tiny_processor, lmm=tiny_models.tiny_lmm, needs_token_types=True)
_LLAVA = TinyFamily(processor=tiny_llava.tiny_processor, lmm=tiny_llava.tiny_lmm)
_DEEPSEEK_VL = TinyFamily(
    processor=tiny_deepseek_vl.tiny_processor,
    lmm=tiny_deepseek_vl.tiny_lmm,
    image_processor={'prompt_template': tiny_deepseek_vl.PROMPT_TEMPLATE},
)
TINY = {
    **dict.fromkeys(tiny_models.FAMILIES, _QWEN),
    'llava': _LLAVA,
    'llava_next': _LLAVA,
    'deepseek_vl': _DEEPSEEK_VL,
    'deepseek_vl_hybrid': _DEEPSEEK_VL,
}


def build_wrapper(model_type: str, **settings: Any) -> Any:
    """The family's ImageProcessorWrapper over its tiny processor."""
    tiny = TINY[model_type]
    kind = FAMILIES[model_type].image_processor.rpartition('.')[2]
    return TRANSFORMS.build(
        {
            'type': f'flmm.{kind}',
            'pretrained_model_name_or_path': tiny.processor(model_type),
            **tiny.image_processor,
            **settings,
        }
    )


def build_grounder(model_type: str, *, num_layers: int = 2, seed: int = 0, **settings: Any) -> FrozenLMM:
    """The family's FrozenLMM over its tiny LMM; ``settings`` are FrozenLMM's."""
    torch.manual_seed(seed)
    kind = FAMILIES[model_type].model.rpartition('.')[2]
    return MODELS.build(
        {
            'type': f'flmm.{kind}',
            'lmm': TINY[model_type].lmm(model_type, layers=num_layers),
            'mask_head': {'type': 'flmm.UNetHead', 'base_channels': 4, 'upsample_input': 16},
            'sam': SAMWrapper(sam=tiny_sam()),
            **LOSSES,
            **settings,
        }
    )


def make_sample(
    wrapper: Any,
    phrases: list[str],
    *,
    size: tuple[int, int] = (100, 160),
    seed: int = 0,
    image: Image.Image | None = None,
    **settings: Any,
) -> Any:
    """A sample of a random image, or of ``image``; every phrase has a random rectangle for its mask.

    ``settings`` are RefCOCO2PNG's; with ``concat=False`` it is a list of samples.
    """
    rng = np.random.default_rng(seed)
    image = image or Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8))
    height, width = image.height, image.width
    masks = np.zeros((len(phrases), height, width), dtype=np.uint8)
    for mask in masks:
        top, left = rng.integers(height // 2), rng.integers(width // 2)
        mask[top : top + height // 3, left : left + width // 3] = 1
    item = {
        'img_path': f'random_{seed}.jpg',
        'image': image,
        'text': phrases,
        'gt_masks': BitmapMasks(masks, height, width),
    }
    return RefCOCO2PNG(image_processor=wrapper, **{'prompt': 'What is it?', **settings}).transform(item)


def make_batch(model_type: str, *, independent: bool = True) -> list[GroundingSample]:
    """Three samples that differ in image size, number of phrases and sequence length."""
    wrapper = build_wrapper(model_type)
    return [
        make_sample(wrapper, phrases, size=size, seed=seed, independent=independent)
        for seed, (phrases, size) in enumerate(
            [
                (['a', 'some blue circle'], (100, 160)),
                (['red', 'the other one', 'b'], (90, 90)),
                (['cat'], (300, 60)),
            ],
            start=1,
        )
    ]


def stock_inputs(model_type: str, sample: GroundingSample, *, phrase: int | None = None) -> dict[str, Tensor]:
    """What the stock model is called with for one sample, or for its prompt and one phrase as if it were alone."""
    kept = torch.ones_like(sample.mask_ids, dtype=torch.bool)
    if phrase is not None:
        kept = (sample.mask_ids < 0) | (sample.mask_ids == phrase)
    types = {'mm_token_type_ids': is_image(sample)[kept].int()[None]} if TINY[model_type].needs_token_types else {}
    return {'input_ids': sample.input_ids[kept][None], **sample.lmm_inputs, **types}
