"""A model's state dict holds its trainable part alone, and loading proves that it was all there."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from flmm.models.key_problems import key_problems


def trainable_keys(model: nn.Module, frozen: Sequence[str]) -> set[str]:
    """Return the keys of the trainable part.

    They are the parameters that lie outside of the frozen modules, and the buffers that lie beside such a parameter
    (BatchNorm's statistics). ``requires_grad`` does not count: it changes while a model is used.

    Args:
        model: the whole.
        frozen: names of its submodules that are never trained.
    """
    keys = set()
    for prefix, module in model.named_modules(remove_duplicate=False):
        if _lies_in(prefix, frozen):
            continue
        own = {name for name, _ in module.named_parameters(prefix=prefix, recurse=False, remove_duplicate=False)}
        keys |= own
        if own:
            persistent = (name for name, _ in module.named_buffers(prefix=prefix, recurse=False))
            keys |= {name for name in persistent if name.rpartition('.')[2] not in module._non_persistent_buffers_set}
    return keys


def keep_trainable_state(model: nn.Module, *, frozen: Sequence[str]) -> None:
    """Make ``state_dict`` of ``model`` return its trainable part, and make loading check every key.

    What is trainable is said here, once: averaged copies of the model (EMA), a head that somebody freezes, and
    ``requires_grad_(False)`` for inference keep it. Both torch's and mmengine's ways of saving and loading run these
    hooks, ``strict`` or not: mmengine loads with ``strict=False`` and only logs what did not match.

    Args:
        model: the whole.
        frozen: names of its submodules that are never trained, such as 'lmm' or 'sam.model.image_encoder'.

    Raises (on loading):
        ValueError: a trainable key is missing or has another shape, or a key is not a trainable one. Only a buffer that
            equals the model's own may come along, such as SAM's random matrix of frequencies.
    """
    model.register_state_dict_post_hook(partial(_drop_frozen, frozen=tuple(frozen)))
    model.register_load_state_dict_pre_hook(partial(_check_trainable, frozen=tuple(frozen)))
    model.register_load_state_dict_post_hook(partial(_expect_no_frozen_key, frozen=tuple(frozen)))


def _drop_frozen(
    model: nn.Module, state_dict: dict[str, Tensor], prefix: str, metadata: dict, *, frozen: Sequence[str]
) -> None:
    keep = {prefix + key for key in trainable_keys(model, frozen)}
    for key in [key for key in state_dict if key.startswith(prefix) and key not in keep]:
        del state_dict[key]


def _check_trainable(
    model: nn.Module, state_dict: dict[str, Tensor], prefix: str, *unused: Any, frozen: Sequence[str]
) -> None:
    tensors = _named_tensors(model)
    expected = {prefix + key: tensors[key] for key in trainable_keys(model, frozen)}
    own = {
        prefix + name: buffer
        for name, buffer in model.named_buffers(remove_duplicate=False)
        if not _lies_in(name, frozen)
    }
    found = {
        key: value
        for key, value in state_dict.items()
        if key.startswith(prefix) and (key in expected or key not in own or not _equal(value, own[key]))
    }
    problems = key_problems(expected, found)
    if problems:
        raise ValueError(
            f"the checkpoint does not hold this model's trainable part: {problems}. "
            'Load it with the config that it was trained with.'
        )
    model._loaded_prefix = prefix  # the post hook is not told


def _lies_in(name: str, modules: Sequence[str]) -> bool:
    return any(f'{name}.'.startswith(f'{module}.') for module in modules)


def _equal(stored: Tensor, own: Tensor) -> bool:
    # in the precision of the file: one of half precision holds the rounded values
    return stored.shape == own.shape and torch.equal(stored.to(own.device), own.to(stored.dtype))


def _expect_no_frozen_key(model: nn.Module, incompatible_keys: Any, *, frozen: Sequence[str]) -> None:
    absent = {model._loaded_prefix + key for key in _named_tensors(model).keys() - trainable_keys(model, frozen)}
    missing = incompatible_keys.missing_keys
    missing[:] = [key for key in missing if key not in absent]


def _named_tensors(model: nn.Module) -> dict[str, Tensor]:
    # A tensor that two modules share has two keys in a state dict.
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
