"""What is wrong with the keys of a checkpoint, in words."""

from collections.abc import Mapping

from torch import Tensor

NUM_NAMED = 5
"""How many keys of a kind a message names."""


def key_problems(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Compare the keys and shapes of a checkpoint with those of a model, and whether numbers are real.

    Args:
        expected: the model's tensors.
        found: the checkpoint's.

    Returns:
        The numbers of keys that are missing, unexpected, or of another shape or kind of number, with the first of each;
        '' where all fit. Precisions are one kind: a model may have another than its file.

    >>> key_problems({'a': torch.zeros(2), 'b': torch.zeros(1)}, {'a': torch.zeros(3)})
    '1 missing: b; 1 of another shape: a has (3,), the model (2,)'
    """
    both = sorted(expected.keys() & found.keys())
    problems = {
        'missing': sorted(expected.keys() - found.keys()),
        'unexpected': sorted(found.keys() - expected.keys()),
        'of another shape': [
            f'{key} has {tuple(found[key].shape)}, the model {tuple(expected[key].shape)}'
            for key in both
            if found[key].shape != expected[key].shape
        ],
        # torch would round to whole numbers, or drop imaginary parts, when it copies
        'of another kind of number': [
            f'{key} has {found[key].dtype}, the model {expected[key].dtype}'
            for key in both
            if _kind(found[key]) != _kind(expected[key])
        ],
    }
    return '; '.join(
        f'{len(keys)} {kind}: {", ".join(keys[:NUM_NAMED])}{", ..." if len(keys) > NUM_NAMED else ""}'
        for kind, keys in problems.items()
        if keys
    )


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()
