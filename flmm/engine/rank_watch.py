"""Where each process of a distributed run stands, told to all: so a run that hangs can say for whom it waits."""

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import FrameType

import torch
from torch.distributed import Store

TICK = 1.0
"""Seconds between two looks at the main thread."""


@dataclass(kw_only=True, frozen=True)
class Standing:
    """Where the main thread of a process stands.

    Args:
        steps: how many beginnings and ends of iterations it has passed, and batches in this pass through the data.
        still: for how many seconds it has stood at one instruction within one step.
        place: file, line and function.
        waits: whether that is in torch.distributed, so that it may wait for another process.
        done: whether its run is over.
        tick: counts the looks.
    """

    steps: int = 0
    still: float = 0.0
    place: str = 'before its first step'
    waits: bool = False
    done: bool = False
    tick: int = 0


class RankWatch:
    """Looks where the main thread of this process stands, and hears of the others, until all have stopped moving.

    Args:
        store: connects the processes.
        rank: the number of this process.
        world_size: how many there are.
        timeout: in seconds; see :func:`hanging_message`.
        steps: counts what this process has done.
    """

    def __init__(self, *, store: Store, rank: int, world_size: int, timeout: float, steps: Callable[[], int]) -> None:
        self._rank, self._timeout, self._steps = rank, timeout, steps
        self._store = store.clone()  # the main thread may wait in the other
        self._own = Standing()
        self._heard = dict.fromkeys(range(world_size), (Standing(), time.monotonic()))
        self._ended = threading.Event()
        # Apart: where the process that holds the store is stopped, an exchange never comes back.
        self._threads = [
            threading.Thread(target=self._exchange, daemon=True),
            threading.Thread(target=self._look, args=(threading.get_ident(),), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop to look, and tell the others that this process is done."""
        self._ended.set()
        for thread in self._threads:
            thread.join(timeout=5)

    def _look(self, main_thread: int) -> None:
        last, since, tick = None, time.monotonic(), 0
        tick_seconds = min(TICK, self._timeout / 10)
        while not self._ended.wait(tick_seconds):
            stack = [frame for frame, _ in traceback.walk_stack(sys._current_frames()[main_thread])]
            now, tick, steps = time.monotonic(), tick + 1, self._steps()
            where = (steps, *((id(frame.f_code), frame.f_lasti) for frame in stack))
            if where != last:
                last, since = where, now
            self._own = Standing(
                steps=steps,
                still=now - since,
                place=describe_place(stack),
                waits=any(f'torch{os.sep}distributed' in frame.f_code.co_filename for frame in stack),
                tick=tick,
            )
            del stack  # or its tensors would live on
            self._heard[self._rank] = (self._own, now)
            found = hanging_message(self._heard, now=now, timeout=self._timeout)
            if found:
                sys.stderr.write(f'\n[rank {self._rank}] {found}\n')
                sys.stderr.flush()
                time.sleep(3 * tick_seconds)  # the others find it, too, before they miss this process
                os._exit(1)  # the main thread cannot be reached

    def _exchange(self) -> None:
        try:
            while not self._ended.wait(min(TICK, self._timeout / 10)):
                self._tell(self._own)
                for other, (before, _) in list(self._heard.items()):
                    if other != self._rank and self._store.check([_key(other)]):
                        told = Standing(**json.loads(self._store.get(_key(other))))
                        if told != before:
                            self._heard[other] = (told, time.monotonic())
            self._tell(Standing(done=True))
        except torch.distributed.DistError:
            return  # the process that holds the store is gone: nothing is heard any more, which tells it

    def _tell(self, standing: Standing) -> None:
        self._store.set(_key(self._rank), json.dumps(asdict(standing)))


def hanging_message(heard: dict[int, tuple[Standing, float]], *, now: float, timeout: float) -> str | None:
    """Say which process hangs, once all have been still for ``timeout`` seconds; None before.

    Processes that are done do not count. One hangs of which nothing was heard for so long: it was stopped, or is gone.
    If there is none, it is among those that are behind by a step or more, and not one that waits in torch.distributed.

    Args:
        heard: of each rank what was last heard, and when.
        now: the time, in seconds.
        timeout: in seconds.

    >>> hanging_message({0: (Standing(still=9.0), 9.0), 1: (Standing(), 0.0)}, now=9.0, timeout=9.0)
    'nothing moves for 9 s: rank 1 hangs (nothing was heard of it: ...
    """
    active = {rank: (standing, now - at) for rank, (standing, at) in heard.items() if not standing.done}
    if not active or any(max(standing.still, silence) < timeout for standing, silence in active.values()):
        return None
    silent = [rank for rank, (_, silence) in active.items() if silence >= timeout]
    fewest = min(standing.steps for standing, _ in active.values())
    behind = [rank for rank, (standing, _) in active.items() if standing.steps == fewest]
    hanging = silent or [rank for rank in behind if not active[rank][0].waits] or behind
    lines = [
        f'rank {rank}: {"last heard of" if rank in silent else "stands"} at {standing.place}, step {standing.steps}'
        for rank, (standing, _) in active.items()
    ]
    ranks = ', '.join(f'rank {rank}' for rank in hanging)
    why = 'nothing was heard of it: its process is stopped or gone' if silent else 'the others wait for it'
    return f'nothing moves for {timeout:g} s: {ranks} hangs ({why}), so the run is ended. ' + '; '.join(lines)


def describe_place(stack: list[FrameType]) -> str:
    """Say where a thread stands, and where in this package, for its frames from the innermost on."""
    package = os.sep.join(('', 'flmm', ''))
    own = next((frame for frame in stack[1:] if package in frame.f_code.co_filename), None)
    places = [
        f'{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})' for frame in (stack[0], own) if frame
    ]
    return ', called from '.join(places)


def _key(rank: int) -> str:
    return f'flmm/rank_watch/{rank}'
