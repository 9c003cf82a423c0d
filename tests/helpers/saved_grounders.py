"""Tiny grounders made from configs, so that they can be saved: LMM and SAM lie in a folder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import DefaultScope
from PIL import Image
from safetensors.torch import save_file
from tiny_families import TINY
from tiny_grounder import LOSSES
from tiny_models import tiny_sam

from flmm import Grounder
from flmm.families import FAMILIES
from flmm.grounder import Grounding
from flmm.registry import MODELS, TRANSFORMS

PHRASES = ['a cat', 'dog', 'the red one']
SAM = {
    'type': 'build_small_sam', 'image_size': 64, 'patch_size': 8, 'encoder_embed_dim': 16, 'encoder_depth': 2,
    'encoder_num_heads': 2, 'encoder_global_attn_indexes': (1,), 'window_size': 4, 'prompt_embed_dim': 16,
    'decoder_num_heads': 2, 'decoder_mlp_dim': 32,
}  # fmt: skip
"""tiny_sam()."""


def write_frozen(folder: Path, model_type: str = 'qwen2_5_vl') -> Path:
    """Write LMM, processor and SAM: ``lmm`` and ``sam.safetensors``."""
    TINY[model_type].lmm(model_type, layers=2).save_pretrained(folder / 'lmm')
    TINY[model_type].processor(model_type).save_pretrained(folder / 'lmm')
    save_file({key: value.contiguous() for key, value in tiny_sam().state_dict().items()}, folder / 'sam.safetensors')
    return folder


def places(folder: Path) -> dict[str, str]:
    """Where from_pretrained finds them."""
    return {'lmm': str(folder / 'lmm'), 'sam_checkpoint': str(folder / 'sam.safetensors')}


def saved_config(
    folder: Path,
    model_type: str = 'qwen2_5_vl',
    *,
    image_processor: dict[str, Any] | None = None,
    to_sample: dict[str, Any] | None = None,
    sam: dict[str, Any] | None = None,
    **model: Any,
) -> dict[str, Any]:
    """The config of a grounder over what :func:`write_frozen` wrote; ``model`` are FrozenLMM's settings."""
    family = FAMILIES[model_type]
    return {
        'model': {
            'type': family.model.rpartition('.')[2],
            'lmm': {'type': 'pretrained_lmm', 'name_or_path': str(folder / 'lmm'), 'dtype': 'float32'},
            'mask_head': {'type': 'UNetHead', 'base_channels': 4, 'upsample_input': 16},
            'sam': {'type': 'SAMWrapper', 'sam': {**SAM, 'checkpoint': str(folder / 'sam.safetensors')}, **(sam or {})},
            **LOSSES,
            **model,
        },
        'to_sample': {
            'type': 'RefCOCO2PNG',
            'prompt': 'Look.',
            'image_processor': {
                'type': family.image_processor.rpartition('.')[2],
                'pretrained_model_name_or_path': str(folder / 'lmm'),
                **TINY[model_type].image_processor,
                **(image_processor or {}),
            },
            **(to_sample or {}),
        },
    }


def build(config: dict[str, Any], *, seed: int = 3) -> Grounder:
    """The grounder of a config, its trained part random."""
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('flmm'):
        model, to_sample = MODELS.build(config['model']), TRANSFORMS.build(config['to_sample'])
    return Grounder(model=model, to_sample=to_sample, config=config)


def photo() -> Image.Image:
    """Noise, 60 x 90 px."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 60, 3), dtype=np.uint8))


def assert_equal(first: Grounder, second: Grounder, phrases: list[str] = PHRASES) -> Grounding:
    """Ground phrases with both; they must say the same, to the last bit. Returns what they say."""
    one, two = first(photo(), phrases), second(photo(), phrases)
    for source in ('coarse', 'refined'):
        assert torch.equal(getattr(one, source).small, getattr(two, source).small)
    assert torch.equal(one.masks, two.masks)
    assert torch.equal(one.scores, two.scores)
    assert (one.existence is None) == (two.existence is None)
    if one.existence is not None:
        assert torch.equal(one.existence, two.existence)
        assert torch.equal(one.exists, two.exists)
    return one
