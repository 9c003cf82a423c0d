"""The model of a config with all shapes and no weights: a 72B takes no memory to count."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from flmm.models import FrozenLMM, SAMWrapper
from flmm.models.build import without_tracker
from flmm.models.lmm_loading import LMMWithoutWeights, model_dtype
from flmm.models.published_lmms import PUBLISHED, published_config
from flmm.pretrained import lmm_from_config, load_lmm_config
from flmm.registry import MODELS, is_type

BUILDERS = ('build_sam', 'build_small_sam')
"""SAMs that are built from what the config says; others are read from their checkpoint."""


def weightless_model(model: Mapping[str, Any]) -> FrozenLMM:
    """Build the model of a config on torch's device 'meta', the mask head excepted.

    Sizes of published LMMs are known, so that nothing is downloaded; of others the config is loaded. A tracker is left
    out.

    Args:
        model: the config's ``model``.

    Raises:
        ValueError: an LMM whose config cannot be loaded, or a SAM that is no ViT of segment_anything.
    """
    sam = copy.deepcopy(dict(model['sam']))
    if not any(is_type(sam['sam'], builder) for builder in map(MODELS.get, BUILDERS)):
        raise ValueError(
            f"sam.type is {sam['sam']['type']!r}, but the memory of SAM's own models alone is known; count with one of "
            f'{", ".join(BUILDERS)}'
        )
    sam['sam'] = {**sam['sam'], 'checkpoint': None}
    with torch.device('meta'):
        wrapper = MODELS.build({'type': SAMWrapper, **sam} if 'type' not in sam else sam)
    settings = {key: value for key, value in without_tracker(model).items() if key != 'trained_masks'}
    return MODELS.build({**settings, 'lmm': _lmm(model['lmm']), 'sam': wrapper})


def _lmm(lmm: Mapping[str, Any]) -> PreTrainedModel | LMMWithoutWeights:
    name = lmm['name_or_path']
    config = published_config(name) if name in PUBLISHED else load_lmm_config(name)
    if is_type(lmm, LMMWithoutWeights):
        made = LMMWithoutWeights.__new__(LMMWithoutWeights)
        torch.nn.Module.__init__(made)
        made.config = config
        return made
    with torch.device('meta'):
        return lmm_from_config(config, dtype=model_dtype(lmm.get('dtype', 'bfloat16')))
