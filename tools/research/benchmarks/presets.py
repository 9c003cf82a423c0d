"""Models to measure speed on. Weights are random, save those of the demo: time does not depend on them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from transformers import (
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
)

from flmm.models import FrozenQwenSAM
from flmm.models.published_lmms import published_config
from flmm.pretrained import load_lmm, load_processor
from flmm.registry import MODELS

ROOT = Path(__file__).parents[3]
DEMO = ROOT / 'assets' / 'demo_lmm'
PUBLISHED = {'3b': 'Qwen/Qwen2.5-VL-3B-Instruct', '7b': 'Qwen/Qwen2.5-VL-7B-Instruct'}


def build_processor() -> Qwen2_5_VLProcessor:
    """Qwen2.5-VL's processor with the demo's tokenizer, which every preset reads."""
    return load_processor(DEMO)


def build_grounder(preset: str, *, device: torch.device, whole: bool = False) -> FrozenQwenSAM:
    """Build FrozenQwenSAM.

    Args:
        preset: 'demo', the LMM of assets/; 'small', a Qwen2.5-VL that a CPU runs in seconds; '3b' or '7b', the
            published sizes in bfloat16.
        device: where to build it.
        whole: with what configs/qwen put on a published LMM (SAM ViT-L and F-LMM's mask head), or the demo on another.
            Otherwise without SAM and mask head, so that ``encode`` is the frozen LMM and nothing else.
    """
    lmm = _build_lmm(preset, device=device)
    if not whole:
        return lmm_alone(lmm).to(device)
    name = 'frozen_lmm_sam_l' if preset in PUBLISHED else 'frozen_lmm_small_sam'
    config = Config.fromfile(ROOT / 'configs' / '_base_' / 'models' / f'{name}.py').model
    config.sam.sam.checkpoint = None
    init_default_scope('flmm')
    return MODELS.build({**config, 'type': 'FrozenQwenSAM', 'lmm': lmm}).to(device)


def lmm_alone(lmm: PreTrainedModel, *, layers: Sequence[int] | None = None) -> FrozenQwenSAM:
    """Build FrozenQwenSAM on an LMM without SAM and mask head; ``layers`` are those whose attention is read."""
    none = {'type': nn.Identity}
    return FrozenQwenSAM(lmm=lmm, mask_head=none, sam=_NoSam(), loss_mask=none, loss_dice=none, layers=layers)


def _build_lmm(preset: str, *, device: torch.device) -> PreTrainedModel:
    if preset == 'demo':
        return load_lmm(DEMO, dtype=torch.float32)
    image_token_id = build_processor().image_token_id
    if preset == 'small':
        config, dtype = _small_config(image_token_id), torch.float32
    else:
        config, dtype = published_config(PUBLISHED[preset], image_token_id=image_token_id), torch.bfloat16
    torch.manual_seed(0)
    with device:
        return Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=dtype)


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
    """Stands where FrozenQwenSAM expects SAM and costs nothing."""

    text_dim = 1

    def encode_images(self, images: list) -> list[dict[str, Tensor]]:
        return [{}] * len(images)
