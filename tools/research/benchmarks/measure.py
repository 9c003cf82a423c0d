"""Time and memory of calls, and what they were measured on."""

import datetime
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch
import transformers
from torch.profiler import ProfilerActivity, profile

import flmm

Stages = Mapping[str, Callable[[Any], Any]]
Result = TypeVar('Result')


def in_turn(ways: Iterable[str], *, repeats: int, warm_up: bool = True) -> Iterator[tuple[str, bool]]:
    """Order ways to do the same thing so that what else the machine does hits all of them alike.

    Yields:
        A way, and whether this round of it counts. The first round does not, if it is to warm up; each goes through all
        ways, in the opposite order of the one before.
    """
    names = list(ways)
    for round_number in range(0 if warm_up else 1, repeats + 1):
        for way in names[:: -1 if round_number % 2 else 1]:
            yield way, round_number > 0


def time_in_turn(
    ways: Mapping[str, Stages],
    *,
    repeats: int,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
    warm_up: bool = True,
) -> dict[str, dict[str, list[float]]]:
    """Time ways to do the same thing, :func:`in_turn`.

    Args:
        ways: for each way its stages by name; a stage is given what the one before it returned, the first one None.
        repeats: rounds that count.
        device: which device to wait for before the clock is read.
        clock: tells seconds.
        warm_up: run a round before those that count.

    Returns:
        For each way and stage the seconds of every round.
    """
    seconds: dict[str, dict[str, list[float]]] = {way: {stage: [] for stage in ways[way]} for way in ways}
    for way, counts in in_turn(ways, repeats=repeats, warm_up=warm_up):
        result = None
        for stage, call in ways[way].items():
            synchronize(device)
            start = clock()
            result = call(result)
            synchronize(device)
            if counts:
                seconds[way][stage].append(clock() - start)
    return seconds


def own_clock(device: torch.device) -> Callable[[], float]:
    """The clock that other work on the machine disturbs least.

    On a CPU it counts the processor's time of this process, all threads together: with one thread that is what a clock
    on the wall says where nothing else runs. On a GPU it is the clock on the wall.
    """
    return time.process_time if device.type == 'cpu' else time.perf_counter


def median_total(stages: Mapping[str, list[float]]) -> float:
    """The median over rounds of the time of all stages together, s."""
    return statistics.median(map(sum, zip(*stages.values(), strict=True)))


def peak_memory(call: Callable[[], object], *, device: torch.device) -> int:
    """The most bytes of tensors that ``call`` holds at a time, beside those that were there before."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    return max(_held(profiled))


def kept_memory(call: Callable[[], object], *, device: torch.device) -> int:
    """The bytes of tensors that are there after ``call``, and were not before, while what it returns is kept."""
    if device.type == 'cuda':
        before = torch.cuda.memory_allocated(device)
        kept = call()
        return torch.cuda.memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        kept = call()  # noqa: F841
    return _held(profiled)[-1]


def _held(profiled: profile) -> list[int]:
    """The bytes that were held from one moment to the next: 0, then after each allocation and each release.

    Each is an event, those of temporary tensors within operators included.
    """
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == '[memory]']
    held = [0]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held.append(held[-1] + event.nbytes())
    return held


def memory_now(device: torch.device) -> int:
    """Bytes that are held now: by tensors on a GPU, or else by this process, resident; on Linux only."""
    return torch.cuda.memory_allocated(device) if device.type == 'cuda' else _status('VmRSS')


def most_memory(device: torch.device) -> int:
    """The most bytes that were held at a time since this process began; otherwise as :func:`memory_now`."""
    return torch.cuda.max_memory_allocated(device) if device.type == 'cuda' else _status('VmHWM')


def _status(name: str) -> int:
    """Bytes that Linux counts for this process. Unlike ``ru_maxrss`` they leave out the process that started it."""
    return int(re.search(rf'{name}:\s+(\d+) kB', Path('/proc/self/status').read_text())[1]) * 1024


def in_new_process(call: Callable[..., Result], *args: object) -> Result:
    """Return what ``call`` returns in a new interpreter, so that memory that was held before does not count."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context('spawn')) as pool:
        return pool.submit(call, *args).result()


def environment(device: torch.device) -> dict[str, str | int]:
    """Where and on what the numbers were measured."""
    if device.type == 'cuda':
        name = torch.cuda.get_device_name(device)
    else:
        capability = torch.backends.cpu.get_cpu_capability()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
        name = f'{cores} cores of an {cpu_model()} ({capability})'
    return {
        'date': datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        'device': name,
        'threads': torch.get_num_threads(),
        'python': platform.python_version(),
        'torch': torch.__version__,
        'transformers': transformers.__version__,
        'flmm': flmm.__version__,
    }


def cpu_model() -> str:
    """The processor's name as Linux tells it; elsewhere its architecture."""
    info = Path('/proc/cpuinfo')
    names = re.findall(r'model name\s*: (.+)', info.read_text()) if info.exists() else []
    return names[0] if names else platform.machine()


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
