"""The LMM to freeze: a published or fine-tuned checkpoint; its shape with random weights; or without any."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from flmm.models.lmm_placement import keep_placement
from flmm.pretrained import lmm_from_config, load_lmm, load_lmm_config
from flmm.registry import MODELS


@MODELS.register_module()
def pretrained_lmm(
    *, name_or_path: str, dtype: str = 'bfloat16', device_map: str | dict[str, Any] | None = None
) -> PreTrainedModel:
    """Load a checkpoint with stock transformers classes (:func:`flmm.pretrained.load_lmm`).

    Args:
        name_or_path: a folder, or else a hub name such as 'Qwen/Qwen2.5-VL-3B-Instruct'.
        dtype: name of a torch dtype, such as 'bfloat16' or 'float32'.
        device_map: transformers' way to lay the parts of an LMM onto several GPUs, for a process that has them all
            (docs/gpus.md): 'auto', 'balanced', or the GPU of each part by name; needs accelerate. None leaves it on the
            CPU, from where the model is moved: mapped from its file, so that the processes of a node share its pages.

    Raises:
        ValueError: there is no such checkpoint, or it lacks weights of the model, or has others; a ``device_map`` in
            one of several processes, or one that leaves parts on the CPU.
    """
    if device_map is not None and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
        raise ValueError(
            f'device_map is {device_map!r} in one of {torch.distributed.get_world_size()} processes, which would all '
            'lay their LMM onto the same GPUs; start one process, or store features first (docs/gpus.md)'
        )
    with torch.random.fork_rng():  # some classes draw numbers before weights are read, and the mask head comes next
        lmm = load_lmm(name_or_path, dtype=model_dtype(dtype), device_map=device_map)
    keep_placement(lmm)
    return lmm


@MODELS.register_module()
def random_lmm(*, name_or_path: str, seed: int = 0, dtype: str = 'float32') -> PreTrainedModel:
    """Build the model that ``name_or_path``'s config describes with random weights: the untrained control."""
    with torch.random.fork_rng():  # what is built next must not depend on the seed of this
        torch.manual_seed(seed)
        return lmm_from_config(load_lmm_config(name_or_path), dtype=model_dtype(dtype))


@MODELS.register_module()
class LMMWithoutWeights(nn.Module):
    """Stands where the LMM would, in a model that only ever sees samples with stored features.

    Args:
        name_or_path: whose config is read.
        **unused: what a config says of loading weights.
    """

    def __init__(self, *, name_or_path: str, **unused: object) -> None:
        super().__init__()
        self.config: PreTrainedConfig = load_lmm_config(name_or_path)


def model_dtype(name: str) -> torch.dtype:
    """Return torch's dtype of this name, such as 'bfloat16'; a ValueError names another."""
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"dtype is {name!r}, expected the name of a torch dtype such as 'bfloat16' or 'float32'")
    return dtype
