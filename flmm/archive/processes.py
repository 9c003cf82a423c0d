"""Which process this is among those that share an archive, and several processes on one machine."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

import torch

from flmm.archive.folder import ArchiveFolder
from flmm.datasets.data_loader import end_with_parent

TERMINATED = 128 + signal.SIGTERM
"""Exit code of a process that was asked to end (SIGTERM); what it had not finished will be done anew."""


@dataclass(kw_only=True, frozen=True)
class Place:
    """A process among others.

    Args:
        rank: its number, from 0.
        world_size: how many there are.
        local_rank: its number on its machine, by which it takes a GPU.
        has_gaps: whether some of these numbers may have no process, as in a Slurm array of 3, 6, 11. Their share is
            done by others, unless the output's file system has no locks.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    has_gaps: bool = False

    @classmethod
    def from_environment(cls, launcher: str, environment: Mapping[str, str] = os.environ) -> 'Place':
        """Read what a launcher says: 'pytorch' is torchrun; 'slurm' a job array, srun's tasks, or an array of these.

        Raises:
            ValueError: the launcher has not started this process.
        """

        def number(name: str, default: int | None = None) -> int:
            if name not in environment and default is not None:
                return default
            if not environment.get(name, '').isdigit():
                raise ValueError(
                    f'launcher is {launcher!r}, but {name} is {environment.get(name)!r} in the environment; start it '
                    'by that launcher, or use another'
                )
            return int(environment[name])

        if launcher == 'pytorch':
            return cls(rank=number('RANK'), world_size=number('WORLD_SIZE'), local_rank=number('LOCAL_RANK'))
        is_array = 'SLURM_ARRAY_TASK_ID' in environment
        tasks, task = number('SLURM_NTASKS', 1 if is_array else None), number('SLURM_PROCID', 0)
        count = number('SLURM_ARRAY_TASK_COUNT') if is_array else 1
        least, step = number('SLURM_ARRAY_TASK_MIN', 0), max(1, number('SLURM_ARRAY_TASK_STEP', 1))
        array = (number('SLURM_ARRAY_TASK_ID') - least) // step if is_array else 0
        # --array=3,6,11 has numbers above its count.
        arrays = (number('SLURM_ARRAY_TASK_MAX', least + (count - 1) * step) - least) // step + 1 if is_array else 1
        arrays = max(arrays, array + 1)
        return cls(
            rank=array * tasks + task,
            world_size=arrays * tasks,
            local_rank=number('SLURM_LOCALID', 0),
            has_gaps=arrays > count,
        )


def device_of(place: Place, device: str | None) -> str:
    """Return the device of a process: the one that is named, or else a GPU of its own, or the CPU where there is none.

    Raises:
        ValueError: more processes on this machine than GPUs; name the device to share one.
    """
    if device is not None:
        return device
    count = torch.cuda.device_count()
    if count == 0:
        return 'cpu'
    if place.local_rank >= count and count > 1:
        raise ValueError(f'process {place.local_rank} of this machine has no GPU, there are {count}; name a --device')
    return f'cuda:{place.local_rank % count}'  # a launcher may show each process its own GPU alone


def wait_for_others(folder: ArchiveFolder, *, seconds: float = 2.0) -> None:
    """Wait until no other process is at a missing shard.

    torchrun, and srun with ``--kill-on-bad-exit``, end all processes where one fails, and with them what they are at.
    Without locks nothing is known of others, and nobody waits.

    Args:
        folder: the output.
        seconds: how often to look.
    """
    while any(folder.claims.is_others(number) for number in folder.missing()):
        time.sleep(seconds)


def end_on_sigterm() -> None:
    """Let SIGTERM raise SystemExit, so that files that are being written are removed, and workers end."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, end)


def run_processes(count: int, work: Callable[[Place], int]) -> list[int]:
    """Run ``work`` in so many processes, begun anew, which end with this one; return their exit codes.

    One that fails or is killed does not stop the others. Where this process is asked to end, so are they.

    Args:
        count: how many.
        work: what each does, can be pickled; it returns its exit code.
    """
    context = multiprocessing.get_context('spawn')
    places = [Place(rank=rank, world_size=count, local_rank=rank) for rank in range(count)]
    processes = [context.Process(target=_run, args=(work, place)) for place in places]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            if process.pid is not None:
                process.join()
    return [process.exitcode for process in processes]


def _run(work: Callable[[Place], int], place: Place) -> NoReturn:
    end_with_parent(place.rank)
    if 'OMP_NUM_THREADS' not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // place.world_size))
    raise SystemExit(work(place))
