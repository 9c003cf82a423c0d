"""Two processes of which one hangs, is stopped or killed: the run ends, and says for whom it waited."""

import os
import re
import signal
import sys
import time

import pytest
import torch
from mmengine.hooks import Hook
from processes import exit_codes, start_function
from tiny_refcoco import run_tool, write_workspace

from flmm.engine import HangingRanksHook
from flmm.registry import HOOKS

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU, mmengine gives each process one')


def computed():
    return sorted(str(number) for number in range(1000))


SIGNALS = {'is stopped': signal.SIGSTOP, 'is killed': signal.SIGKILL}


@HOOKS.register_module()
class FaultyRank(Hook):
    """Rank 1 fails in its third iteration, in one of several ways."""

    def __init__(self, how):
        self.how = how

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.rank == 1 and runner.iter == 2:
            end = time.monotonic() + 3
            while self.how == 'computes' and time.monotonic() < end:
                computed()
            if self.how == 'sleeps':
                time.sleep(1000)
            if self.how in SIGNALS:
                os.kill(os.getpid(), SIGNALS[self.how])


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp('workspace'))


def faulty(config, folder, how, *, timeout):
    path = folder / 'faulty.py'
    path.write_text(
        f'_base_ = {str(config)!r}\ntrain_dataloader = dict(batch_size=1)\n'
        'val_dataloader = val_cfg = val_evaluator = None\n'
        f"custom_hooks = [dict(type='FaultyRank', how={how!r})]\n"
        f"default_hooks = dict(hanging_ranks=dict(type='HangingRanksHook', timeout={timeout}))\n"
    )
    return path


def train_faulty(config, folder):
    """Train, with what is printed in a file for each rank."""
    log = os.open(folder / f'rank_{os.environ["RANK"]}.txt', os.O_CREAT | os.O_WRONLY)
    os.dup2(log, 2)
    sys.stderr = os.fdopen(2, 'w')
    run_tool('train', config, '--work-dir', folder, '--launcher', 'pytorch')


@pytest.mark.parametrize(
    ('how', 'message'),
    [
        ('sleeps', r'rank 1 hangs \(the others wait for it\).* rank 1: stands at \S*test_hanging_ranks_hook\.py:\d+'),
        pytest.param(
            'is stopped',
            r'rank 1 hangs \(nothing was heard of it: its process is stopped or gone\)',
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_rank_that_hangs_is_named_and_the_run_ends(config, tmp_path, how, message):
    processes = start_function(2, tmp_path, train_faulty, faulty(config, tmp_path, how, timeout=3), tmp_path)
    for process in processes if how == 'sleeps' else processes[:1]:
        process.join(timeout=60)
        assert process.exitcode == 1
    if how == 'is stopped':  # which the launcher would kill
        processes[1].kill()
    said = (tmp_path / 'rank_0.txt').read_text()
    assert re.search(message, said), said


def test_a_rank_that_is_killed_ends_the_run_within_a_minute(config, tmp_path):
    start = time.monotonic()
    path = faulty(config, tmp_path, 'is killed', timeout=540)
    first, second = exit_codes(start_function(2, tmp_path, train_faulty, path, tmp_path), timeout=120)
    assert second == -signal.SIGKILL
    assert first not in (None, 0)
    assert time.monotonic() - start < 60


@pytest.mark.slow
def test_a_rank_that_computes_for_longer_than_the_timeout_is_waited_for(config, tmp_path):
    path = faulty(config, tmp_path, 'computes', timeout=1)
    assert exit_codes(start_function(2, tmp_path, train_faulty, path, tmp_path)) == [0, 0]
    assert (tmp_path / 'epoch_2.pth').exists()


def test_a_timeout_of_nothing_is_refused():
    with pytest.raises(ValueError, match='timeout is 0, expected a number of seconds above 0'):
        HangingRanksHook(timeout=0)
