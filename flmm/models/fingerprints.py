"""What tells one set of frozen weights from another, wherever and in whichever precision it was loaded."""

import hashlib

import torch
from torch import nn

NUM_VALUES = 16
"""So many values of each tensor are looked at, evenly spread: enough to see any training, at no cost."""
SMALLEST = 2**-16
"""Values below are taken for zero: float16 does not hold their digits."""


def weights_fingerprint(module: nn.Module) -> str | None:
    """Hash the parameters of a module, but not their names and order, which change between versions of a library.

    The same weights in float32, bfloat16 and float16 have the same fingerprint: values are compared as bfloat16.

    Returns:
        16 hexadecimal digits; None where the module has no weights, or these hold no values (device 'meta').
    """
    chosen = []
    for parameter in module.parameters():
        if parameter.device.type == 'meta':
            return None
        last, number = parameter.numel() - 1, min(NUM_VALUES, parameter.numel())
        places = torch.linspace(0, last, number, dtype=torch.float64).long()
        values = parameter.detach().flatten()[places.to(parameter.device)].float()
        chosen.append((tuple(parameter.shape), values.where(values.abs() >= SMALLEST, 0.0).bfloat16().float().cpu()))
    if not chosen:
        return None
    tensors = sorted(hashlib.sha256(f'{shape} {values.tolist()}'.encode()).digest() for shape, values in chosen)
    return hashlib.sha256(b''.join(tensors)).hexdigest()[:16]
