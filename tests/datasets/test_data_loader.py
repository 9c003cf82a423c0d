"""Batches are flat lists of samples; workers draw anew in every epoch."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from flmm.datasets import collate_grounding, data_loader
from flmm.datasets.item import SkippedItem
from flmm.models.data_preprocessor import GroundingDataPreprocessor
from flmm.registry import FUNCTIONS

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.mark.parametrize(
    ('items', 'samples'),
    [
        (['a', 'b'], ['a', 'b']),
        ([['a', 'b'], ['c']], ['a', 'b', 'c']),
        (['a', ['b', 'c'], 'd'], ['a', 'b', 'c', 'd']),
        ([[], ['a']], ['a']),
    ],
)
def test_lists_are_flattened_in_order(items, samples):
    assert collate_grounding(items) == {'data_samples': samples}


def test_samples_are_passed_on_and_items_left_as_they_are():
    first, second = object(), object()
    items = [[first], second]

    samples = collate_grounding(items)['data_samples']

    assert samples[0] is first
    assert samples[1] is second
    assert items == [[first], second]


def test_the_reasons_of_what_was_left_out_come_along():
    items = [SkippedItem(reason='a'), ['b', 'c'], SkippedItem(reason='d')]
    assert collate_grounding(items) == {'data_samples': ['b', 'c'], 'skipped_items': ['a', 'd']}
    assert collate_grounding(items[:1]) == {'data_samples': [], 'skipped_items': ['a']}


def test_a_batch_is_refused_where_nobody_counts_them():
    batch = {'data_samples': [], 'skipped_items': ["image 'a.png' cannot be read"]}
    with pytest.raises(ValueError, match=r"1 items were left out .*: image 'a\.png' cannot be read; add Skipped"):
        GroundingDataPreprocessor()(batch)


def test_configs_name_it():
    assert FUNCTIONS.get('flmm.collate_grounding') is collate_grounding


class RandomNumbers(Dataset):
    """Every item is what the worker's three generators give."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return [random.random(), float(np.random.rand()), float(torch.rand(()))]  # noqa: NPY002


def epochs(options, *, seed):
    """The items of two epochs, of a loader made as the runner makes it, after the main process was seeded."""
    loader = Runner.build_dataloader(
        {
            'dataset': RandomNumbers(),
            'batch_size': 1,
            'num_workers': 2,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'collate_fn': {'type': 'pseudo_collate'},
            **options,
        },
        seed=0,
    )
    torch.manual_seed(seed)
    return [[np.ravel(batch).tolist() for batch in loader] for _ in range(2)]


@pytest.mark.parametrize('config', ['shapes/demo.py', 'qwen/qwen2_5_vl_3b_sam_l_refcoco.py'])
def test_workers_draw_anew_in_every_epoch_and_again_after_a_resume(config):
    """With the options of the published configs, which a resumed run depends on."""
    train_dataloader = Config.fromfile(CONFIGS / config).train_dataloader
    options = {
        key: train_dataloader[key] for key in ('worker_init_fn', 'persistent_workers') if key in train_dataloader
    }

    first, second = epochs(options, seed=0)

    numbers = [number for epoch in (first, second) for item in epoch for number in item]
    assert len(set(numbers)) == len(numbers) == 2 * 4 * 3
    assert epochs(options, seed=0) == [first, second]
    assert epochs(options, seed=1)[0] != first


@pytest.mark.parametrize('config', ['shapes/demo.py', 'qwen/qwen2_5_vl_3b_sam_l_refcoco.py'])
@pytest.mark.parametrize('loader', ['train_dataloader', 'val_dataloader', 'test_dataloader'])
def test_workers_of_every_loader_end_with_their_parent(config, loader, monkeypatch):
    """tests/grounder/test_many.py kills one."""
    watched = []
    monkeypatch.setattr(data_loader, 'end_with_parent', watched.append)
    options = Config.fromfile(CONFIGS / config)[loader].worker_init_fn
    FUNCTIONS.get(options.pop('type'))(3, **options)
    assert watched == [3]


def first_batch_taken(dataset):
    """The batches of a loader, of which the first was taken, and its only worker."""
    others = set(multiprocessing.active_children())
    batches = iter(DataLoader(dataset, num_workers=1, worker_init_fn=data_loader.end_with_parent))
    next(batches)
    (worker,) = set(multiprocessing.active_children()) - others
    return batches, worker


def test_workers_leave_it_to_their_parent_to_stop():
    """A cluster sends SIGTERM, and a terminal SIGINT, to all processes; the main one still needs batches."""
    batches, worker = first_batch_taken(RandomNumbers())
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(worker.pid, number)
    assert len(list(batches)) == 3


class Hanging(Dataset):
    """Its second item never comes."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        while index:
            time.sleep(100)
        return index


@pytest.mark.parametrize(('grace', 'signals'), [(0.5, 1), (1000, 2)])
def test_a_worker_that_hangs_can_be_ended(monkeypatch, grace, signals):
    monkeypatch.setattr(data_loader, 'GRACE', grace)
    batches, worker = first_batch_taken(Hanging())
    for _ in range(signals):
        worker.terminate()
        time.sleep(0.1)
    worker.join(20)
    assert worker.exitcode == 0
    del batches
