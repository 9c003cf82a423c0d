"""What a config's model trains, by name and shape; none of its weights is loaded."""

import copy
from dataclasses import dataclass

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from flmm.config import mappings_in
from flmm.models import FrozenLMM, LMMWithoutWeights
from flmm.models.build import without_tracker
from flmm.models.frozen_parts import FROZEN
from flmm.registry import MODELS


@dataclass(frozen=True, kw_only=True)
class TrainedPart:
    """Names and shapes of what a checkpoint of a model holds.

    Args:
        weights: the trained tensors, all of which a checkpoint has.
        buffers: constants beside them, which it may have: loading compares them with the model's own.
    """

    weights: dict[str, torch.Size]
    buffers: dict[str, torch.Size]

    @classmethod
    def of(cls, model: nn.Module) -> 'TrainedPart':
        """Read them off a :class:`FrozenLMM`, or whatever names its frozen modules as that does."""
        weights = {name: value.shape for name, value in model.state_dict().items()}
        frozen = tuple(f'{name}.' for name in FROZEN)
        buffers = {
            name: value.shape
            for name, value in model.named_buffers()
            if name not in weights and not name.startswith(frozen)
        }
        return cls(weights=weights, buffers=buffers)


def build_without_weights(config: Config) -> FrozenLMM:
    """Build the model of a config in no memory: on device 'meta', its LMM and SAM from their settings alone.

    A tracker is left out: nothing of it is trained.

    Raises:
        ValueError: the config names no LMM, or one whose settings cannot be had.
    """
    settings = copy.deepcopy(without_tracker(config.model.to_dict()))
    lmm = settings.get('lmm')
    if not isinstance(lmm, dict) or 'name_or_path' not in lmm:
        raise ValueError(f'model.lmm is {lmm!r}, expected a dict with name_or_path, whose settings give the sizes')
    settings['lmm'] = {'type': LMMWithoutWeights, 'name_or_path': lmm['name_or_path']}
    for mapping in mappings_in(settings['sam']):
        if 'checkpoint' in mapping:
            mapping['checkpoint'] = None
    with DefaultScope.overwrite_default_scope(config.get('default_scope')), torch.device('meta'):
        return MODELS.build(settings)
