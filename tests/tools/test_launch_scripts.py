"""The shell scripts hand everything on as it was given, and start what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_refcoco import REPOSITORY

TOOLS = REPOSITORY / 'tools'
ECHO = f'#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n'
OPTIONS = ['--cfg-options', "model.name=a b'c", 'data=[1,"two words"]', '+x=$HOME *']


@pytest.fixture
def echo(tmp_path):
    """A program that prints its arguments, as JSON; once as itself, once under the name of srun."""
    for name in ('echo', 'srun'):
        (tmp_path / name).write_text(ECHO)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def run(script, *arguments, folder, **variables):
    environment = {'PATH': f'{folder}:{os.environ["PATH"]}', 'PYTHON': 'echo', **variables}
    return subprocess.run([TOOLS / script, *arguments], env=environment, capture_output=True, text=True, check=False)


def printed(*arguments, **settings):
    result = run(*arguments, **settings)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_train_on_one_node(echo):
    assert printed('dist_train.sh', 'my config.py', '3', *OPTIONS, folder=echo) == [
        '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '3', f'{TOOLS}/train.py', 'my config.py',
        *OPTIONS, '--launcher', 'pytorch',
    ]  # fmt: skip


def test_test_on_several_nodes(echo):
    nodes = {'NNODES': '2', 'NODE_RANK': '1', 'MASTER_ADDR': 'first', 'PORT': '1234'}
    assert printed('dist_test.sh', 'c.py', 'my run/epoch_1.pth', '8', *OPTIONS, folder=echo, **nodes) == [
        '-m', 'torch.distributed.run', '--nnodes', '2', '--node-rank', '1', '--master-addr', 'first', '--master-port',
        '1234', '--nproc-per-node', '8', f'{TOOLS}/test.py', 'c.py', 'my run/epoch_1.pth', *OPTIONS,
        '--launcher', 'pytorch',
    ]  # fmt: skip


def test_torchrun_deals_out_the_ranks(echo):
    nodes = {'NNODES': '2:4', 'RDZV_ENDPOINT': 'first:1234'}
    assert printed('dist_test.sh', 'c.py', '', '8', folder=echo, **nodes) == [
        '-m', 'torch.distributed.run', '--nnodes', '2:4', '--rdzv-backend', 'c10d', '--rdzv-endpoint', 'first:1234',
        '--rdzv-id', 'flmm', '--nproc-per-node', '8', f'{TOOLS}/test.py', 'c.py', '--launcher', 'pytorch',
    ]  # fmt: skip


def test_slurm(echo):
    assert printed('slurm_train.sh', 'gpu', 'my job', 'c.py', 'my run', *OPTIONS, folder=echo, GPUS='16') == [
        '--partition=gpu', '--job-name=my job', '--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8',
        '--cpus-per-task=5', '--kill-on-bad-exit=1', 'echo', '-u', f'{TOOLS}/train.py', 'c.py', '--work-dir', 'my run',
        *OPTIONS, '--launcher', 'slurm',
    ]  # fmt: skip
    settings = {'GPUS': '2', 'CPUS_PER_TASK': '3', 'SRUN_ARGS': '--quotatype=spot --time 10'}
    assert printed('slurm_test.sh', 'gpu', 'job', 'c.py', '', folder=echo, **settings) == [
        '--partition=gpu', '--job-name=job', '--gres=gpu:2', '--ntasks=2', '--ntasks-per-node=2', '--cpus-per-task=3',
        '--kill-on-bad-exit=1', '--quotatype=spot', '--time', '10', 'echo', '-u', f'{TOOLS}/test.py', 'c.py',
        '--launcher', 'slurm',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('arguments', 'variables', 'message'),
    [
        (['dist_train.sh'], {}, 'usage: tools/dist_train.sh CONFIG GPUS'),
        (['dist_train.sh', 'c.py'], {}, 'usage: tools/dist_train.sh CONFIG GPUS'),
        (['dist_test.sh', 'c.py', '8'], {}, 'usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS'),
        (
            ['slurm_train.sh', 'gpu', 'job', 'c.py'],
            {},
            'usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR',
        ),
        (['slurm_test.sh', 'gpu', 'job', 'c.py'], {}, 'usage: tools/slurm_test.sh PARTITION'),
        (['dist_train.sh', 'c.py', '8'], {'NNODES': '2'}, 'NODE_RANK: of this node, 0 to NNODES - 1'),
        (['dist_train.sh', 'c.py', '8'], {'NNODES': '2', 'NODE_RANK': '0'}, 'MASTER_ADDR: of node 0'),
    ],
)
def test_what_is_missing_is_named(echo, arguments, variables, message):
    result = run(*arguments, folder=echo, **variables)
    assert result.returncode != 0
    assert message in result.stderr
    assert result.stdout == ''


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU, mmengine gives each process one')
def test_two_processes_train(config, tmp_path):
    script = [TOOLS / 'dist_train.sh', config, '2', '--work-dir', tmp_path / 'my run']
    options = ['--cfg-options', 'train_cfg.max_epochs=1', 'train_dataloader.batch_size=1']
    environment = {**os.environ, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1'}
    subprocess.run([*script, *options], env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    (log,) = Path(tmp_path, 'my run').glob('*/*.log')
    assert '2 x CPU, launcher pytorch' in log.read_text()
    assert torch.load(tmp_path / 'my run' / 'epoch_1.pth', weights_only=True)['meta']['iter'] == 2
