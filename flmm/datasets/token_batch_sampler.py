"""Batches of images with about as many tokens, so that little of a batch is padding and its memory is bounded."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice

import torch
from mmengine.dataset import DefaultSampler
from torch.utils.data import Sampler

from flmm.registry import DATA_SAMPLERS

BUCKET_RATIO = 1.1


@DATA_SAMPLERS.register_module()
class TokenBatchSampler(Sampler[list[int]]):
    """A ``batch_sampler`` that sorts images by their number of tokens.

    Images go into buckets whose bounds are 10 % apart, and are drawn anew within a bucket at each epoch; neighbours in
    this order make a batch. So padding is at most 10 % of a batch, but for the few that span buckets, and each epoch
    has equally many batches. Batches come in a new order at each epoch. Processes that train together take batches of
    about the same size at each step.

    Args:
        sampler: mmengine's DefaultSampler, which says what is sampled, in which epoch, and for which process. Its
            dataset has a method ``num_image_tokens()`` that returns a number for each item.
        batch_size: at most so many items make a batch.
        max_tokens: at most so many image tokens, padding included, make a batch; None for any number.

    Raises:
        ValueError: another sampler, a dataset without ``num_image_tokens``, an item that alone has more than
            ``max_tokens``, or several processes that do not shuffle, as in tests.
    """

    def __init__(self, *, sampler: DefaultSampler, batch_size: int, max_tokens: int | None = None) -> None:
        if not isinstance(sampler, DefaultSampler):
            raise ValueError(
                f"sampler is a {type(sampler).__name__}; TokenBatchSampler reads mmengine's DefaultSampler"
            )
        if not hasattr(sampler.dataset, 'num_image_tokens'):
            name = type(sampler.dataset).__name__
            raise ValueError(f'{name} has no num_image_tokens(), by which TokenBatchSampler sorts; use another sampler')
        if sampler.world_size > 1 and not sampler.shuffle:
            raise ValueError(
                'TokenBatchSampler does not keep the order of items, by which the results of several processes are put '
                'together; use it for training, or test in one process'
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        # mmengine's num_batch_per_epoch shortens a dataset to its first items.
        tokens = sampler.dataset.num_image_tokens()[: len(sampler.dataset)]
        if max_tokens is not None and max(tokens) > max_tokens:
            item = tokens.index(max(tokens))
            raise ValueError(
                f'max_tokens is {max_tokens}, and item {item} alone has {tokens[item]} image tokens; '
                'raise it, or let images be read smaller (Qwen: lower max_pixels of the image processor)'
            )
        buckets = [math.ceil(math.log(count, BUCKET_RATIO) - 1e-9) for count in tokens]  # bounds: powers of it
        largest: dict[int, int] = {}
        for bucket, count in zip(buckets, tokens, strict=True):
            largest[bucket] = max(count, largest.get(bucket, 0))
        # Of each item the largest in its bucket: in order of buckets, every epoch sees the same numbers.
        self._bounds = [largest[bucket] for bucket in buckets]
        self._num_steps = len(self._steps())

    def __len__(self) -> int:
        return self._num_steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps():
            yield step[self.sampler.rank]

    def _steps(self) -> list[list[list[int]]]:
        """The batches of all processes, step by step."""
        generator = torch.Generator().manual_seed(self.sampler.seed + self.sampler.epoch)
        order = range(len(self._bounds))
        if self.sampler.shuffle:
            order = torch.randperm(len(self._bounds), generator=generator).tolist()
        batches = token_batches(
            sorted(order, key=self._bounds.__getitem__),
            self._bounds,
            batch_size=self.batch_size,
            max_tokens=self.max_tokens,
        )
        world_size = self.sampler.world_size
        batches += list(islice(cycle(batches), -len(batches) % world_size))
        steps = [batches[start : start + world_size] for start in range(0, len(batches), world_size)]
        if self.sampler.shuffle:
            steps = [steps[i] for i in torch.randperm(len(steps), generator=generator).tolist()]
        return steps


def token_batches(
    order: Iterable[int], num_tokens: Sequence[int], *, batch_size: int, max_tokens: int | None
) -> list[list[int]]:
    """Cut items that are sorted by their tokens into batches.

    Args:
        order: the items, so that their numbers of tokens ascend.
        num_tokens: of each item.
        batch_size: at most so many items make a batch.
        max_tokens: at most so many tokens, padding included, make a batch, or one item; None for any number.

    >>> token_batches([2, 0, 1], [4, 5, 3], batch_size=8, max_tokens=8)
    [[2, 0], [1]]
    """
    batches: list[list[int]] = []
    for item in order:
        full = not batches or len(batches[-1]) == batch_size
        if full or (max_tokens is not None and (len(batches[-1]) + 1) * num_tokens[item] > max_tokens):
            batches.append([])
        batches[-1].append(item)
    return batches
