"""How long the stages of a step take, each without the stages within it."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from benchmarks.measure import synchronize


class StageTimer:
    """Adds up seconds by stage. Of stages within one another, each counts its own time only.

    Args:
        device: which device to wait for before the clock is read.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what runs within as ``stage``."""
        self._enter(stage)
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def watching(self, module: nn.Module, stage: str) -> Iterator[None]:
        """Count the forwards of a module."""
        before = module.register_forward_pre_hook(lambda *_: self._enter(stage))
        after = module.register_forward_hook(lambda *_: self._leave())
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def watched(self, function: Callable, stage: str) -> Callable:
        """The function, counted."""

        def counted(*args: object, **kwargs: object) -> object:
            with self(stage):
                return function(*args, **kwargs)

        return counted

    def _enter(self, stage: str) -> None:
        self._switch()
        self._running.append(stage)

    def _leave(self) -> None:
        self._switch()
        self._running.pop()

    def _switch(self) -> None:
        synchronize(self.device)
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
