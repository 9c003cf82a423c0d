"""What is kept of a sequence, as a cache of transformers and out of one."""

import copy
import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationMixin
from transformers.cache_utils import LinearAttentionCacheLayerMixin

from flmm.reading import Prefix

_STEP = inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters

CACHE = 'cache' if 'cache' in _STEP else 'past_key_values'
"""The name of the cache in forwards of transformers, in their outputs and in ``generate``; 5.24 has another."""


def cache_of(prefix: Prefix, config: Any, *, num_rows: int = 1) -> DynamicCache:
    """Return a cache for a pass that goes on behind a prefix, which stays as it is.

    Args:
        prefix: a beginning as all layers see it.
        config: what describes the language model.
        num_rows: so many sequences go on from it, such as the beams of a search.
    """
    cache = cache_of_states(prefix, config)
    for layer, state in enumerate(prefix.states):
        if state is None:
            cache.update(prefix.keys[layer], prefix.values[layer], layer)
    if num_rows > 1:
        cache.reorder_cache(torch.zeros(num_rows, dtype=torch.long))
    return cache


def cache_of_states(prefix: Prefix, config: Any) -> DynamicCache:
    """Return a cache of what the layers without attention go on from, and of no keys and values.

    Arguments are those of :func:`cache_of`.
    """
    cache = DynamicCache(config=config)
    for layer, state in enumerate(prefix.states):
        if state is not None:  # the pass that follows changes it
            cache.layers[layer] = copy.deepcopy(state)
    return cache


def prefix_from_cache(
    cache: DynamicCache, *, row: int, input_ids: Tensor, next_position: int, num_layers: int
) -> Prefix:
    """Take one sequence out of the cache of a right-padded batch.

    Args:
        cache: what a forward over the batch has left. Layers without attention have read one sequence only, without
            padding.
        row: which sequence of the batch.
        input_ids: [P], the sequence.
        next_position: the rotary position of the token that follows.
        num_layers: how many layers were run.
    """
    length = len(input_ids)
    keys, values, states = [], [], []
    for layer in cache.layers[:num_layers]:
        carries = isinstance(layer, LinearAttentionCacheLayerMixin)
        keys.append(None if carries else layer.keys[row : row + 1, :, :length])
        values.append(None if carries else layer.values[row : row + 1, :, :length])
        states.append(layer if carries else None)
    return Prefix(input_ids=input_ids, keys=keys, values=values, states=states, next_position=next_position)
