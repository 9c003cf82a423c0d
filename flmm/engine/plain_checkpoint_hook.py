"""Checkpoints that ``torch.load(path, weights_only=True)`` reads in any environment, without mmengine."""

import copy
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

from flmm.registry import HOOKS


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Replaces what is no plain data in a checkpoint by what is, and puts it back when the checkpoint is loaded.

    mmengine stores its log as ``HistoryBuffer`` objects of numpy arrays, which torch >= 2.6 refuses to load; switching
    that check off would let a checkpoint run code.
    """

    priority = 'LOWEST'  # after all hooks that add to a checkpoint

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn HistoryBuffers into dicts of tensors, numpy values into Python's."""
        scalars = checkpoint['message_hub']['log_scalars']
        checkpoint['message_hub']['log_scalars'] = {
            key: {
                'log_history': torch.from_numpy(buffer.data[0].copy()),
                'count_history': torch.from_numpy(buffer.data[1].copy()),
                'max_length': buffer.max_length,
            }
            for key, buffer in scalars.items()
        }
        for key, value in checkpoint.items():
            checkpoint[key] = to_plain(value)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn the dicts of tensors back into HistoryBuffers. A checkpoint of weights alone is left as it is."""
        if 'message_hub' not in checkpoint:
            return
        scalars = checkpoint['message_hub']['log_scalars']
        for key, value in scalars.items():
            if isinstance(value, dict):
                arrays = {name: value[name].cpu().numpy() for name in ('log_history', 'count_history')}
                scalars[key] = HistoryBuffer(**arrays, max_length=value['max_length'])


def to_plain(value: Any) -> Any:
    """Return ``value`` with numpy scalars and arrays inside dicts, lists and tuples made plain, without functions.

    A scheduler's state may name functions (OneCycleLR's); a resumed run has them from its config.
    """
    if isinstance(value, dict):
        # A copy, item by item: a state dict keeps its _metadata (versions of modules), and a Counter doesn't add up.
        plain = copy.copy(value)
        for key, item in value.items():
            if callable(item):
                del plain[key]
            else:
                plain[key] = to_plain(item)
        return plain
    if isinstance(value, (list, tuple)):
        return type(value)(to_plain(item) for item in value)
    if isinstance(value, np.generic):
        return value.item()
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value
