"""What need be read only once: the picture that several samples show, and the prompt around it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from flmm.structures import GroundingSample

Item = TypeVar('Item')


def show_the_same(sample: 'GroundingSample', other: 'GroundingSample') -> bool:
    """Say whether the LMM reads the same picture in both: the same image by the same layouts."""
    return (
        sample.image is other.image
        and sample.lmm_inputs.keys() == other.lmm_inputs.keys()
        and all(torch.equal(value, other.lmm_inputs[name]) for name, value in sample.lmm_inputs.items())
        and len(sample.views) == len(other.views)
        and all(
            torch.equal(own.layout.tokens, view.layout.tokens)
            for own, view in zip(sample.views, other.views, strict=True)
        )
    )


def begin_alike(sample: 'GroundingSample', other: 'GroundingSample') -> bool:
    """Say whether the LMM reads the same before any phrase in both: the same picture, in the same prompt."""
    return (
        sample.reading is other.reading
        and torch.equal(sample.input_ids[: sample.prompt_length], other.input_ids[: other.prompt_length])
        and show_the_same(sample, other)
        and all(torch.equal(own.columns, view.columns) for own, view in zip(sample.views, other.views, strict=True))
    )


def distinct(items: Sequence[Item], *, same: Callable[[Item, Item], bool]) -> tuple[list[Item], list[int]]:
    """Return the first of each kind of ``items``, and for every item the index of its kind."""
    found: list[Item] = []
    index = []
    for item in items:
        known = next((i for i, other in enumerate(found) if same(item, other)), len(found))
        if known == len(found):
            found.append(item)
        index.append(known)
    return found, index
