"""Numbers that are not finite are an error that names the sample and the stage, never a mask."""

from collections.abc import Iterable

import torch
from torch import Tensor


class NonFiniteError(ValueError):
    """A nan or an infinity where a number should be."""


def check_finite(tensors: Iterable[tuple[str, str, Tensor]]) -> None:
    """Check tensors in the order in which they were computed.

    Args:
        tensors: (name of the image, stage of the model, what it computed) each.

    Raises:
        NonFiniteError: naming the first that holds a nan or an infinity.
    """
    tensors = list(tensors)
    # One answer for all: each one by itself would make the GPU wait.
    finite = torch.stack([tensor.isfinite().all() for _, _, tensor in tensors]).tolist()
    for (name, stage, tensor), is_finite in zip(tensors, finite, strict=True):
        if not is_finite:
            count = int((~tensor.isfinite()).sum())
            raise NonFiniteError(
                f'image {name!r}: {stage} gave {count} of {tensor.numel()} numbers that are not finite. '
                'A float16 LMM that overflows does this: load it in bfloat16 or float32'
            )
