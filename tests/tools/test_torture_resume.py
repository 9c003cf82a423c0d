"""The command itself, on tiny models; docs/checkpoints.md has a longer run."""

import subprocess
import sys

import pytest
from tiny_refcoco import REPOSITORY

OPTIONS = [
    'train_cfg.max_epochs=6', '+train_cfg.val_interval=2', 'default_hooks.checkpoint.max_keep_ckpts=1',
    '+default_hooks.checkpoint.by_epoch=False', 'train_dataloader.batch_size=1',
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(('processes', 'workers', 'kills'), [(1, 2, 2), (2, 0, 1)])
def test_killed_runs_end_as_if_they_had_not_been(config, tmp_path, processes, workers, kills):
    tool = REPOSITORY / 'tools' / 'torture_resume.py'
    done = subprocess.run(
        [
            sys.executable, tool, config, '--kills', str(kills), '--processes', str(processes), '--max-delay', '1',
            '--work-dir', tmp_path / 'torture', '--cfg-options', *OPTIONS, f'train_dataloader.num_workers={workers}',
        ],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(':')[0] for line in lines if line.startswith('kill ')] == [f'kill {i + 1}' for i in range(kills)]
    assert lines[-1].endswith('weights and optimizer equal those of the run that was never killed')
