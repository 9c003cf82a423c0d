"""Several processes that talk over gloo, as torchrun starts them, for tests."""

import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tiny_refcoco import run_tool

TIMEOUT = 300
"""In seconds, of all processes together."""

ENVIRONMENTS = {
    'pytorch': ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'),
    'slurm': ('SLURM_PROCID', 'SLURM_LOCALID', 'SLURM_NTASKS'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_SIZE'),
}
"""How each launcher names the number of a process, its number on its node, and how many there are."""


def launch(num_processes: int, folder: Path, name: str, *arguments: str | Path, launcher: str = 'pytorch') -> None:
    """Run ``tools/<name>.py`` in so many processes."""
    if num_processes > 1:
        arguments = (*arguments, '--launcher', launcher)
    launch_function(num_processes, folder, run_tool, name, *arguments, launcher=launcher)


def launch_function(
    num_processes: int, folder: Path, function: Callable[..., None], *arguments: object, launcher: str = 'pytorch'
) -> None:
    """Run ``function(*arguments)`` in so many processes that stand in ``folder``; all must end well."""
    started = start_function(num_processes, folder, function, *arguments, launcher=launcher)
    assert exit_codes(started) == [0] * num_processes


def start_function(
    num_processes: int, folder: Path, function: Callable[..., None], *arguments: object, launcher: str = 'pytorch'
) -> list[multiprocessing.Process]:
    """Begin to run ``function(*arguments)`` in so many processes that stand in ``folder``.

    They are forked, not begun anew as torchrun does it, since importing everything takes each process ten seconds.
    """
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        port = found.getsockname()[1]
    context = multiprocessing.get_context('fork')
    processes = []
    for rank in range(num_processes):
        environment = dict(zip(ENVIRONMENTS[launcher], (rank, rank, num_processes), strict=True))
        environment |= {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port}
        environment = {key: str(value) for key, value in environment.items()}
        processes.append(context.Process(target=_launched, args=(environment, folder, function, arguments)))
    for process in processes:
        process.start()
    return processes


def exit_codes(processes: list[multiprocessing.Process], *, timeout: float = TIMEOUT) -> list[int | None]:
    """Wait for processes, and kill those that are left; theirs are None.

    Args:
        processes: what :func:`start_function` began.
        timeout: in seconds, of all together.
    """
    end = time.monotonic() + timeout
    for process in processes:
        process.join(timeout=max(0, end - time.monotonic()))
    found = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return found


def _launched(
    environment: dict[str, str], folder: Path, function: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    os.environ.update(environment)
    os.chdir(folder)  # mmengine collects results in ./.dist_test
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    function(*arguments)
