"""One tiny data set with models, and one run over two epochs, shared by all tests of the tools."""

import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from threads import one_thread
from tiny_refcoco import run_tool, write_workspace

# imported here once for all processes that the tests fork
from flmm.datasets import RefCOCO2PNG, RefCocoTestSets  # noqa: F401
from flmm.evaluation import GroundingMetric  # noqa: F401
from flmm.models import FrozenQwenSAM  # noqa: F401


class TrainedRun(NamedTuple):
    """A finished training run and the random numbers that came after it."""

    config: Path
    work_dir: Path
    next_numbers: tuple[float, float, float]


def next_numbers():
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002 (the global generator)


@pytest.fixture(scope='module', autouse=True)
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope='session')
def config(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp('workspace'))


@pytest.fixture(scope='session')
def trained(config):
    work_dir = config.parent / 'trained'
    with one_thread():
        run_tool('train', config, '--work-dir', work_dir, '--cfg-options', 'experiment_name=trained')
    return TrainedRun(config, work_dir, next_numbers())
