import datetime

import pytest
import torch

from flmm.engine.launchers import OWN_NAMES, connect_processes

TORCH = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')
NAMES = {*TORCH, *(name for names in OWN_NAMES.values() for name in names.values())}
SLURM = {
    'SLURM_PROCID': '5', 'SLURM_LOCALID': '1', 'SLURM_NTASKS': '8', 'SLURM_JOB_ID': '1234567',
    'SLURM_NODELIST': 'node[07-08]', 'SLURM_JOB_NUM_NODES': '2',
}  # fmt: skip
MPI = {
    'OMPI_COMM_WORLD_RANK': '3', 'OMPI_COMM_WORLD_LOCAL_RANK': '3', 'OMPI_COMM_WORLD_SIZE': '4',
    'OMPI_COMM_WORLD_LOCAL_SIZE': '4',
}  # fmt: skip


@pytest.fixture
def environment(monkeypatch):
    """A dict of variables that a launcher sets, and no other; torch's are gone again behind the test."""
    variables = {}
    monkeypatch.setattr('flmm.engine.launchers.os.environ', variables)
    return variables


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """What would be connected."""
    calls = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(
        torch.distributed, 'init_process_group', lambda backend, timeout: calls.append((backend, timeout))
    )
    return calls


def by_torch(environment):
    return [environment[name] for name in TORCH]


def test_torchrun_says_all_itself(environment, started):
    environment |= dict(zip(TORCH, ['1', '0', '2', 'first', '1234'], strict=True))
    before = dict(environment)
    connect_processes('pytorch', dist_cfg={'backend': 'nccl', 'timeout': 90})
    assert environment == before
    assert started == [('gloo', datetime.timedelta(seconds=90))]


def test_slurm_over_several_nodes(environment, started, tmp_path):
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames node[07-08]" ] && printf "node07\\nnode08\\n"\n')
    scontrol.chmod(0o755)
    environment |= SLURM | {'PATH': f'{tmp_path}:/bin:/usr/bin'}
    connect_processes('slurm', dist_cfg={})
    assert by_torch(environment) == ['5', '1', '8', 'node07', str(29500 + 4567)]
    assert started == [('gloo', None)]


def test_slurm_on_one_node_and_what_is_set_is_kept(environment):
    environment |= SLURM | {'SLURM_JOB_NUM_NODES': '1', 'MASTER_PORT': '7'}
    connect_processes('slurm', dist_cfg={})
    assert by_torch(environment) == ['5', '1', '8', '127.0.0.1', '7']


def test_open_mpi(environment):
    environment |= MPI
    connect_processes('mpi', dist_cfg={})
    assert by_torch(environment) == ['3', '3', '4', '127.0.0.1', '29500']


@pytest.mark.parametrize(
    ('launcher', 'message'),
    [
        ('pytorch', r'--launcher pytorch expects RANK, LOCAL_RANK, WORLD_SIZE in the environment; .*dist_train\.sh'),
        ('slurm', r'--launcher slurm expects SLURM_PROCID, .*; start the tool with srun'),
        ('mpi', r"--launcher mpi expects OMPI_COMM_WORLD_RANK, .*; start the tool with Open MPI's mpirun"),
    ],
)
def test_a_process_that_its_launcher_has_not_started(environment, launcher, message):
    with pytest.raises(ValueError, match=message):
        connect_processes(launcher, dist_cfg={})


@pytest.mark.parametrize(
    ('launcher', 'variables'), [('slurm', SLURM), ('mpi', MPI | {'OMPI_COMM_WORLD_LOCAL_SIZE': '2'})]
)
def test_several_nodes_need_an_address(environment, launcher, variables, monkeypatch):
    monkeypatch.setattr('flmm.engine.launchers.shutil.which', lambda name: None)
    environment |= variables
    with pytest.raises(ValueError, match='MASTER_ADDR is not set'):
        connect_processes(launcher, dist_cfg={})


def test_with_gpus_mmengine_connects(environment, started, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    environment |= MPI
    connect_processes('mpi', dist_cfg={})
    assert environment['LOCAL_RANK'] == '3'  # which mmengine reads, and does not set
    assert started == []
