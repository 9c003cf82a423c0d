"""Time and memory of calls, and what they were measured on."""

import datetime
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.profiler import ProfilerActivity, profile

import flmm

Stages = Mapping[str, Callable[[Any], Any]]


def in_turn(ways: Iterable[str], *, repeats: int) -> Iterator[tuple[str, bool]]:
    """Order ways to do the same thing so that what else the machine does hits all of them alike.

    Yields:
        A way, and whether this round of it counts. The first round does not; each goes through all ways, in the
        opposite order of the one before.
    """
    names = list(ways)
    for round_number in range(repeats + 1):
        for way in names[:: -1 if round_number % 2 else 1]:
            yield way, round_number > 0


def time_in_turn(
    ways: Mapping[str, Stages], *, repeats: int, device: torch.device
) -> dict[str, dict[str, list[float]]]:
    """Time ways to do the same thing, :func:`in_turn`.

    Args:
        ways: for each way its stages by name; a stage is given what the one before it returned, the first one None.
        repeats: rounds that count.
        device: which device to wait for before the clock is read.

    Returns:
        For each way and stage the seconds of every round.
    """
    seconds: dict[str, dict[str, list[float]]] = {way: {stage: [] for stage in ways[way]} for way in ways}
    for way, counts in in_turn(ways, repeats=repeats):
        result = None
        for stage, call in ways[way].items():
            synchronize(device)
            start = time.perf_counter()
            result = call(result)
            synchronize(device)
            if counts:
                seconds[way][stage].append(time.perf_counter() - start)
    return seconds


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
    # Every allocation and every release is an event, the temporary tensors within operators included.
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == '[memory]']
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def environment(device: torch.device) -> dict[str, str | int]:
    """Where and on what the numbers were measured."""
    if device.type == 'cuda':
        name = torch.cuda.get_device_name(device)
    else:
        capability = torch.backends.cpu.get_cpu_capability()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
        name = f'{cores} cores of an {cpu_model()} ({capability})'
    return {
        'date': datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
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
