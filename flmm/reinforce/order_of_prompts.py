"""In which order a training sees its prompts."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """TRL's sampler, shuffled anew in each epoch, by seed and epoch alone.

    On its own it goes on with one stream of random numbers from epoch to epoch, and a training that is resumed in a
    later epoch would see the order of the first one there: some prompts twice, others never.

    Args:
        sampler: TRL's ``RepeatSampler``, one that shuffles.
        seed: of the training.
    """

    def __init__(self, sampler: Any, *, seed: int) -> None:
        self.sampler, self.seed, self.epoch = sampler, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Take the epoch that begins, counted from 0; Trainer calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        self.sampler.generator.manual_seed(self.seed + self.epoch)
        return iter(self.sampler)
