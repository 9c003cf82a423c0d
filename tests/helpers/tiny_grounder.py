"""A FrozenQwenSAM, or its subclass for Qwen3-VL, of tiny parts, for tests."""

from typing import Any

import torch
from tiny_models import tiny_lmm, tiny_sam

from flmm.models import FrozenQwen3VLSAM, FrozenQwenSAM, SAMWrapper
from flmm.models.sam import SamBackend

LOSSES = {
    'loss_mask': {'type': 'mmdet.CrossEntropyLoss', 'use_sigmoid': True},
    'loss_dice': {'type': 'mmdet.DiceLoss', 'naive_dice': True, 'eps': 1.0},
}


def tiny_grounder(
    family: str = 'qwen2_5_vl', *, seed: int = 0, sam: SamBackend | None = None, **kwargs: Any
) -> FrozenQwenSAM:
    """Random weights, deterministic; ``kwargs`` are FrozenQwenSAM's."""
    torch.manual_seed(seed)
    model_class = FrozenQwen3VLSAM if family == 'qwen3_vl' else FrozenQwenSAM
    return model_class(
        lmm=tiny_lmm(family),
        mask_head={'type': 'flmm.UNetHead', 'base_channels': 4, 'upsample_input': 16},
        sam=SAMWrapper(sam=sam or tiny_sam()),
        **LOSSES,
        **kwargs,
    )
