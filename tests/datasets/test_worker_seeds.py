import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import Dataset

CONFIGS = Path(__file__).parents[2] / 'configs'


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
