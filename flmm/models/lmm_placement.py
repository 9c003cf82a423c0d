"""An LMM on several GPUs of one process, where one is too small."""

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


def keep_placement(lmm: PreTrainedModel) -> None:
    """Let an LMM that was loaded onto several GPUs stay there, and run there.

    transformers has accelerate replace the forward of each part, which a copy of the part
    (:mod:`flmm.models.private_modules`) would not have. Instead a hook of torch brings what a part is called with to
    the part's weights. Moving or casting the whole model leaves the LMM as it is.

    Args:
        lmm: loaded with a ``device_map``.

    Raises:
        ValueError: a part was left on the CPU or on disk, from where each forward would fetch its weights.
    """
    device_map = getattr(lmm, 'hf_device_map', {})
    if not device_map:  # all of it is in one place, and moves as any model does
        return
    from accelerate.hooks import remove_hook_from_submodules  # which device_map needs, and nothing else here

    left_out = sorted(name for name, device in device_map.items() if device in ('cpu', 'disk'))
    if left_out and len(set(device_map.values())) > 1:
        raise ValueError(
            f'the GPUs cannot hold the LMM: {len(left_out)} of its {len(device_map)} parts were left on the CPU or on '
            f'disk, such as {left_out[0]!r}; use more GPUs or larger ones, or a smaller LMM (tools/memory.py)'
        )
    remove_hook_from_submodules(lmm)
    for part in lmm.modules():
        vars(part).pop('forward', None)  # the module's own, which accelerate has put back into the object
    for name in device_map:
        part = lmm.get_submodule(name)
        part.register_forward_pre_hook(_bring_inputs, with_kwargs=True)
    lmm._apply = lambda *_, **__: lmm  # what torch calls of the LMM where the model around it is moved


def _bring_inputs(part: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    weight = next(itertools.chain(part.parameters(), part.buffers()), None)
    return (args, kwargs) if weight is None else (_moved(args, weight.device), _moved(kwargs, weight.device))


def _moved(value: Any, device: torch.device) -> Any:
    """Move tensors, at any depth of tuples, lists and dicts; a cache holds those of each layer where the layer is."""
    if isinstance(value, Tensor):
        return value.to(device)
    if type(value) in (tuple, list):
        return type(value)(_moved(each, device) for each in value)
    if type(value) is dict:
        return {key: _moved(each, device) for key, each in value.items()}
    return value
