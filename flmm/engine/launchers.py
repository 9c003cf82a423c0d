"""The processes of a run, as torchrun, Slurm and Open MPI start them: who is who, and how they are connected.

mmengine and torch.distributed read RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. torchrun sets them; for
Slurm and Open MPI they are derived here. What is set already is kept.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
DEFAULT_PORT = 29500
"""torch.distributed's."""
OWN_NAMES = {
    'pytorch': {'RANK': 'RANK', 'LOCAL_RANK': 'LOCAL_RANK', 'WORLD_SIZE': 'WORLD_SIZE'},
    'slurm': {'RANK': 'SLURM_PROCID', 'LOCAL_RANK': 'SLURM_LOCALID', 'WORLD_SIZE': 'SLURM_NTASKS'},
    'mpi': {
        'RANK': 'OMPI_COMM_WORLD_RANK',
        'LOCAL_RANK': 'OMPI_COMM_WORLD_LOCAL_RANK',
        'WORLD_SIZE': 'OMPI_COMM_WORLD_SIZE',
    },
}
"""How each launcher names torch's variables."""
STARTS = {
    'pytorch': 'start the tool with torchrun (tools/dist_train.sh, tools/dist_test.sh)',
    'slurm': 'start the tool with srun (tools/slurm_train.sh, tools/slurm_test.sh)',
    'mpi': "start the tool with Open MPI's mpirun",
}


def connect_processes(launcher: str, *, dist_cfg: Mapping[str, Any]) -> None:
    """Set torch's variables in each process, and without a GPU connect them over gloo.

    With GPUs mmengine's Runner connects them over NCCL and binds each process to a GPU.

    Args:
        launcher: 'pytorch', 'slurm' or 'mpi'.
        dist_cfg: ``env_cfg.dist_cfg`` of a config; of it, gloo takes ``timeout``, seconds that a process waits for the
            others.

    Raises:
        ValueError: the launcher has not started this process, or has not said where the first process runs.
    """
    _name_processes(launcher)
    if not torch.cuda.is_available():
        timeout = dist_cfg.get('timeout')
        torch.distributed.init_process_group(
            'gloo', timeout=None if timeout is None else timedelta(seconds=float(timeout))
        )


def _name_processes(launcher: str) -> None:
    names = OWN_NAMES[launcher]
    missing = [name for name in names.values() if name not in os.environ]
    if missing:
        raise ValueError(f'--launcher {launcher} expects {", ".join(missing)} in the environment; {STARTS[launcher]}')
    os.environ.update({name: os.environ[own] for name, own in names.items()})
    if launcher == 'slurm':
        # Jobs that share a node must not share a port. All processes of a job have its number.
        job = int(os.environ.get('SLURM_JOB_ID', '0'))
        os.environ.setdefault('MASTER_PORT', str(DEFAULT_PORT + job % 10_000))
    os.environ.setdefault('MASTER_PORT', str(DEFAULT_PORT))
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _first_host(launcher)


def _first_host(launcher: str) -> str:
    own = os.environ
    one_node = {
        'slurm': own.get('SLURM_JOB_NUM_NODES') == '1',
        'mpi': own.get('OMPI_COMM_WORLD_LOCAL_SIZE') == own['WORLD_SIZE'],
    }
    if one_node.get(launcher):
        return '127.0.0.1'
    if launcher == 'slurm' and shutil.which('scontrol') and 'SLURM_NODELIST' in own:
        command = ['scontrol', 'show', 'hostnames', own['SLURM_NODELIST']]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]
    raise ValueError(
        'MASTER_ADDR is not set, so processes on several nodes cannot find each other; set it to the name or address '
        'of the node of the first process'
    )
