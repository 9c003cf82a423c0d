"""From a config and a checkpoint to a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

from flmm.models.checkpoints import load_trained
from flmm.models.frozen_lmm import FrozenLMM
from flmm.registry import MODELS


def without_tracker(model: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of the config of a model the tracker, which is for tests of clips alone, and would be loaded."""
    return {key: value for key, value in model.items() if key != 'tracker'}


def build_model(config: Config, *, checkpoint: str | Path | None = None) -> FrozenLMM:
    """Build the model of a config, on the CPU and in training mode, as mmengine's Runner would.

    Args:
        config: a whole config, with ``model`` and maybe ``default_scope``.
        checkpoint: the trained part, as tools/train.py writes it. None leaves it random.

    Raises:
        ValueError: the checkpoint cannot be read, does not fit the model, or was trained over other frozen parts.

    >>> model = build_model(read_config('configs/shapes/demo.py'), checkpoint='work_dirs/demo/epoch_1.pth').eval()
    """
    with DefaultScope.overwrite_default_scope(config.get('default_scope')):
        model = MODELS.build(config.model)
    if checkpoint is not None:
        load_trained(model, checkpoint)
    return model
