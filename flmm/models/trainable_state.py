"""A model's state dict holds its trainable part alone, and loading proves that it was all there."""

from typing import Any

from torch import Tensor, nn


def trainable_keys(model: nn.Module) -> set[str]:
    """Return the keys of trainable parameters, and of the buffers that lie beside them (BatchNorm's statistics)."""
    keys = set()
    for prefix, module in model.named_modules(remove_duplicate=False):
        own = dict(module.named_parameters(prefix=prefix, recurse=False, remove_duplicate=False))
        trainable = {name for name, parameter in own.items() if parameter.requires_grad}
        keys |= trainable
        if trainable:
            persistent = (name for name, _ in module.named_buffers(prefix=prefix, recurse=False))
            keys |= {name for name in persistent if name.rpartition('.')[2] not in module._non_persistent_buffers_set}
    return keys


def keep_trainable_state(model: nn.Module) -> None:
    """Make ``state_dict`` of ``model`` return its trainable part, and make loading check every key.

    Both torch's and mmengine's ways of saving and loading run these hooks, ``strict`` or not: mmengine loads with
    ``strict=False`` and only logs what did not match.

    Raises (on loading):
        ValueError: a trainable key is missing or has another shape, or a key is not a trainable one.
    """
    model.register_state_dict_post_hook(_drop_frozen)
    model.register_load_state_dict_pre_hook(_check_trainable)
    model.register_load_state_dict_post_hook(_forgive_frozen)


def _drop_frozen(model: nn.Module, state_dict: dict[str, Tensor], prefix: str, metadata: dict) -> None:
    keep = {prefix + key for key in trainable_keys(model)}
    for key in [key for key in state_dict if key.startswith(prefix) and key not in keep]:
        del state_dict[key]


def _check_trainable(model: nn.Module, state_dict: dict[str, Tensor], prefix: str, *unused: Any) -> None:
    expected = {prefix + key for key in trainable_keys(model)}
    found = {key for key in state_dict if key.startswith(prefix)}
    tensors = _named_tensors(model)
    reshaped = [
        f'{key} has {tuple(state_dict[key].shape)}, the model {tuple(tensors[key[len(prefix) :]].shape)}'
        for key in sorted(expected & found)
        if state_dict[key].shape != tensors[key[len(prefix) :]].shape
    ]
    problems = {
        'missing': sorted(expected - found),
        'unexpected': sorted(found - expected),
        'of another shape': reshaped,
    }
    if any(problems.values()):
        listing = '; '.join(f'{len(keys)} {what}: {_shorten(keys)}' for what, keys in problems.items() if keys)
        raise ValueError(
            f"the checkpoint does not hold this model's trainable part: {listing}. "
            'Load it with the config that it was trained with.'
        )
    model._loaded_prefix = prefix  # the post hook is not told


def _shorten(keys: list[str]) -> str:
    return ', '.join(keys[:5]) + (', ...' if len(keys) > 5 else '')


def _forgive_frozen(model: nn.Module, incompatible_keys: Any) -> None:
    frozen = {model._loaded_prefix + key for key in _named_tensors(model).keys() - trainable_keys(model)}
    missing = incompatible_keys.missing_keys
    missing[:] = [key for key in missing if key not in frozen]


def _named_tensors(model: nn.Module) -> dict[str, Tensor]:
    # A tensor that two modules share has two keys in a state dict.
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
