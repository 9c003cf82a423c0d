"""Models to measure speed on. Weights are random, save those of the demo: time does not depend on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from full_sizes.lmms import PublishedLMM, published_lmm, random_lmm, registered
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from flmm.datasets import QwenImageProcessorWrapper
from flmm.datasets.image_processor import ImageProcessorWrapper
from flmm.models import FrozenLMM
from flmm.pretrained import load_lmm, load_processor
from flmm.registry import MODELS, TRANSFORMS

ROOT = Path(__file__).parents[3]
DEMO = ROOT / 'assets' / 'demo_lmm'
SHORT = {'3b': 'qwen2_5_vl_3b', '7b': 'qwen2_5_vl_7b'}


def published(preset: str) -> PublishedLMM | None:
    """Return what is published under the name of a preset; None of 'demo' and 'small'."""
    return None if preset in ('demo', 'small') else published_lmm(SHORT.get(preset, preset))


def prunes(preset: str) -> bool:
    """Say whether the image processor of a preset can prune image tokens."""
    lmm = published(preset)
    return lmm is None or lmm.prunes


def build_image_processor(preset: str, image: Image.Image, **settings: Any) -> ImageProcessorWrapper:
    """Build the image processor of a preset.

    Args:
        preset: as in :func:`build_grounder`.
        image: what it is for. Where the size is free, it is read at its own, whose sides are rounded to 28 px (32 px).
        **settings: of the wrapper, beside those that say how its LMM is asked.
    """
    lmm = published(preset)
    wrapper = {'type': QwenImageProcessorWrapper, 'pretrained_model_name_or_path': DEMO}
    if lmm is not None:  # without the config's choice of a selection of patches, which benchmarks make themselves
        kept = ('type', 'pretrained_model_name_or_path', 'prompt_template')
        wrapper = {key: lmm.image_processor[key] for key in kept if key in lmm.image_processor}
    if prunes(preset):
        pixels = image.width * image.height
        wrapper |= {'min_pixels': pixels, 'max_pixels': pixels}
    return TRANSFORMS.build(wrapper | settings)


def build_grounder(preset: str, *, device: torch.device, whole: bool = False) -> FrozenLMM:
    """Build the FrozenLMM of a preset.

    Args:
        preset: 'demo', the LMM of assets/; 'small', a Qwen2.5-VL that a CPU runs in seconds; or a published LMM in
            bfloat16, by the name of its file in configs/_base_/lmms, or '3b' or '7b' for Qwen2.5-VL's.
        device: where to build it.
        whole: with what configs/qwen put on a published LMM (SAM ViT-L and F-LMM's mask head), or the demo on another.
            Otherwise without SAM and mask head, so that ``encode`` is the frozen LMM and nothing else.
    """
    lmm = _build_lmm(preset, device=device)
    if not whole:
        return lmm_alone(lmm).to(device)
    name = 'frozen_lmm_small_sam' if published(preset) is None else 'frozen_lmm_sam_l'
    config = Config.fromfile(ROOT / 'configs' / '_base_' / 'models' / f'{name}.py').model
    config.sam.sam.checkpoint = None
    config.loss_iou = None  # what it is compared with has no such loss
    init_default_scope('flmm')
    return MODELS.build({**config, 'type': registered(lmm.config.model_type, 'model'), 'lmm': lmm}).to(device)


def lmm_alone(lmm: PreTrainedModel, *, layers: Sequence[int] | None = None) -> FrozenLMM:
    """Build the FrozenLMM of an LMM without SAM and mask head; ``layers`` are those whose attention is read."""
    none = {'type': nn.Identity}
    parts = {'lmm': lmm, 'mask_head': none, 'sam': _NoSam(), 'loss_mask': none, 'loss_dice': none}
    return MODELS.build({'type': registered(lmm.config.model_type, 'model'), 'layers': layers, **parts})


def _build_lmm(preset: str, *, device: torch.device) -> PreTrainedModel:
    if preset == 'demo':
        return load_lmm(DEMO, dtype=torch.float32)
    torch.manual_seed(0)
    lmm = published(preset)
    if lmm is not None:
        return random_lmm(lmm.config, device=device)
    with device:
        return Qwen2_5_VLForConditionalGeneration._from_config(
            _small_config(load_processor(DEMO).image_token_id), dtype=torch.float32
        )


def _small_config(image_token_id: int) -> Qwen2_5_VLConfig:
    """The 3B model's proportions at a quarter of its width and about a third of its depth."""
    return Qwen2_5_VLConfig(
        vision_config={
            'depth': 12, 'hidden_size': 320, 'intermediate_size': 856, 'num_heads': 4, 'out_hidden_size': 512,
            'fullatt_block_indexes': [5, 11],
        },
        text_config={
            'vocab_size': 8192, 'num_hidden_layers': 12, 'hidden_size': 512, 'intermediate_size': 2752,
            'num_attention_heads': 8, 'num_key_value_heads': 2,
            'rope_parameters': {'rope_type': 'default', 'rope_theta': 1e6, 'mrope_section': [8, 12, 12]},
            'bos_token_id': None, 'eos_token_id': None, 'pad_token_id': None,
        },
        image_token_id=image_token_id,
        video_token_id=image_token_id + 1,
    )  # fmt: skip


class _NoSam(nn.Module):
    """Stands where a FrozenLMM expects SAM and costs nothing."""

    use_text = False

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.ModuleDict({'image_encoder': nn.Identity()})

    def encode_images(self, images: list) -> list[dict[str, Tensor]]:
        return [{}] * len(images)
