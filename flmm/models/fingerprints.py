"""What tells one set of frozen weights from another, wherever and in whichever precision it was loaded."""

import hashlib
from collections.abc import Mapping

import torch
from torch import nn

NUM_VALUES = 16
"""So many values of each tensor are looked at, evenly spread: enough to see any training, at no cost."""
SMALLEST = 2**-16
"""Values below are taken for zero: float16 does not hold their digits."""


def weights_fingerprint(module: nn.Module) -> str | None:
    """Hash the parameters of a module, but not their names and order, which change between versions of a library.

    Values are compared as bfloat16. Weights that were stored in float32 become other ones by way of float16, so they
    have a second hash; :func:`same_weights` compares.

    Returns:
        16 hexadecimal digits, or twice as many with a '/' between; None where the module has no weights, or these hold
        no values (device 'meta').
    """
    tensors = {dtype: [] for dtype in (torch.bfloat16, torch.float16)}
    for parameter in module.parameters():
        if parameter.device.type == 'meta':
            return None
        last, number = parameter.numel() - 1, min(NUM_VALUES, parameter.numel())
        places = torch.linspace(0, last, number, dtype=torch.float64).long()
        values = parameter.detach().flatten()[places.to(parameter.device)].float().cpu()
        for dtype, digests in tensors.items():
            rounded = values.to(dtype).bfloat16().float()
            rounded = rounded.where(rounded.abs() >= SMALLEST, 0.0)
            digests.append(hashlib.sha256(f'{tuple(parameter.shape)} {rounded.tolist()}'.encode()).digest())
    if not tensors[torch.bfloat16]:
        return None
    hashes = [hashlib.sha256(b''.join(sorted(digests))).hexdigest()[:16] for digests in tensors.values()]
    return '/'.join(dict.fromkeys(hashes))


def same_weights(first: str, second: str) -> bool:
    """Say whether two fingerprints are of the same weights, in whichever precision each was loaded."""
    return not set(first.split('/')).isdisjoint(second.split('/'))


def different_part(stored: Mapping[str, str | None], own: Mapping[str, str | None]) -> str | None:
    """Return the name of the first of two models' frozen parts that differs, or None; what is not known does not."""
    for name, value in stored.items():
        if None not in (value, own.get(name)) and not same_weights(value, own[name]):
            return name
    return None
