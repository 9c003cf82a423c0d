import random

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from flmm.engine.loops import Passes, resume_passes
from flmm.engine.random_state import random_state, set_random_state


class Drawn(Dataset):
    """Items that are drawn anew at each access, from both generators."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return index, random.random(), float(torch.rand(()))


def loader(workers):
    return DataLoader(Drawn(), batch_size=2, shuffle=True, num_workers=workers, collate_fn=list)


@pytest.fixture(autouse=True)
def _own_random_state():
    state = random_state()
    yield
    set_random_state(state)


def seed(value):
    random.seed(value)
    torch.manual_seed(value)


def trained(passes, number, *, stop=None):
    """What a run sees: batches, and what the model draws between them; ``stop`` says after how many to save."""
    seen, saved = [], None
    for _ in range(number):
        for index, batch in passes.one():
            seen.append((index, batch, float(torch.rand(()))))
            if len(seen) == stop:
                saved = {**random_state(), 'pass_start': passes.began}
    return seen, saved


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('stop', [1, 2, 3, 5])
def test_a_resumed_pass_sees_what_the_interrupted_one_would_have(workers, stop):
    seed(0)
    expected, saved = trained(Passes(loader(workers)), 2, stop=stop)

    seed(1)
    passes = Passes(loader(workers))
    epoch, num_done = divmod(stop, 3)
    if num_done == 0:  # written within the epoch, at its last iteration
        epoch, num_done = epoch - 1, 3
    meta = {'epoch': epoch, 'iter': stop, 'batches_per_pass': 3}
    resume_passes(passes, {'meta': meta, 'random_state': saved}, num_done=num_done)
    found, _ = trained(passes, 2 - epoch)

    assert found == expected[stop:]


def test_between_two_passes():
    seed(0)
    passes = Passes(loader(0))
    first, _ = trained(passes, 1)
    saved = random_state()
    second, _ = trained(passes, 1)

    seed(1)
    passes = Passes(loader(0))
    resume_passes(passes, {'meta': {'epoch': 1, 'iter': 3}, 'random_state': saved}, num_done=0)
    assert trained(passes, 1)[0] == second != first


@pytest.mark.parametrize(
    ('meta', 'state', 'num_done', 'message'),
    [
        (
            {'batches_per_pass': 4},
            {},
            0,
            'a run with 4 iterations an epoch, now there are 3: data, batch size or number',
        ),
        ({}, {}, -1, 'a run with fewer iterations an epoch, now there are 3'),
        ({}, {}, 1, 'written 1 iterations into an epoch, without the random state .* resume from one at the end'),
    ],
)
def test_what_cannot_be_resumed(meta, state, num_done, message):
    checkpoint = {'meta': {'epoch': 1, 'iter': 4, **meta}, 'random_state': state}
    with pytest.raises(ValueError, match=rf'the checkpoint \(epoch 1, iteration 4\) .*{message}'):
        resume_passes(Passes(loader(0)), checkpoint, num_done=num_done)
