"""Shared by all tests: two threads in all, whatever the machine has, so that timings and sums stay comparable."""

import gc
import os
import sys
from pathlib import Path

import pytest
import torch

import flmm  # noqa: F401 (stands in for mmcv's compiled ops before a test imports mmdet)

# tests/helpers, not tests: transformers would take tests/datasets for Hugging Face's package of that name.
sys.path.insert(0, str(Path(__file__).parent / 'helpers'))
# Last, as tools/test.py has the name of a standard module.
sys.path += [str(Path(__file__).parents[1] / 'tools'), str(Path(__file__).parents[1] / 'tools' / 'research')]
torch.set_num_threads(max(1, 2 // int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', '1'))))


def pytest_collection_finish():
    """Keep what was imported and collected out of garbage collections: mmengine asks for one with every dataset."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    """Let what is left over be collected as ever: extension modules would complain of leaks."""
    gc.unfreeze()


@pytest.fixture(scope='module')
def on_one_thread():
    """Run all of a module so: threads wait for each other longer than tiny operators take."""
    from threads import one_thread

    with one_thread():
        yield
