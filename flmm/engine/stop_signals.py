"""SIGTERM and SIGINT, by which clusters preempt and people press Ctrl-C, end training at the next good moment."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from flmm.registry import HOOKS

STOPS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """As a context: notes a signal that asks to stop.

    A second SIGINT acts as it would without this. A second SIGTERM does not: Slurm and torchrun may both send one.

    The end of a launcher (torchrun) that started this process asks to stop, too: nothing would end the process later.

    Attributes:
        received: number of the signal, 0 where there was none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> 'StopSignals':
        if threading.current_thread() is threading.main_thread():  # Python allows no other
            self._earlier = {number: signal.signal(number, self._note) or signal.SIG_DFL for number in STOPS}
            if 'TORCHELASTIC_RUN_ID' in os.environ:
                threading.Thread(target=_stop_without, args=(os.getppid(),), daemon=True).start()
        else:
            MMLogger.get_current_instance().warning(
                'training runs outside of the main thread: SIGTERM and SIGINT end it without a checkpoint'
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if number == signal.SIGINT:
            signal.signal(number, self._earlier[number])


def _stop_without(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


@HOOKS.register_module()
class StopHook(Hook):
    """Ends training after the iteration in which a process got SIGTERM or SIGINT, with a checkpoint.

    Where gradients are accumulated, it is the next one that updates the weights: no checkpoint has gradients. All
    processes stop after the same iteration, of training or of validation. Hooks have a last word by a method
    ``before_stop(runner, num_iters)``, in which CheckpointHook writes.

    Raises:
        SystemExit: with 128 and the number of the signal, as a shell has it: 143 for SIGTERM, 130 for SIGINT.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._num_common = 0

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Stop between two iterations of training."""
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        if all(each.should_update() for each in wrappers):
            stop_if_asked(runner, num_iters=runner.iter + 1)

    def before_val(self, runner: Runner) -> None:
        """Count the batches that every process has; a sampler that does not round up deals out unequal numbers."""
        number = torch.tensor(len(runner.val_loop.dataloader))
        all_reduce(number, op='min')
        self._num_common = int(number)

    def after_val_iter(self, runner: Runner, batch_idx: int, *_: Any, **__: Any) -> None:
        """Stop within validation, which takes longer than clusters wait; the resumed run validates anew."""
        if batch_idx < self._num_common:
            stop_if_asked(runner, num_iters=runner.iter, before=lambda: _swap_back_averages(runner))


def _swap_back_averages(runner: Runner) -> None:
    """Give the model its own weights back, in whose place the averages are validated."""
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            hook._swap_ema_parameters()


def stop_if_asked(runner: Runner, *, num_iters: int, before: Callable[[], None] = lambda: None) -> None:
    """Stop if any process was asked to; to be called by all, between two iterations.

    Args:
        runner: the runner.
        num_iters: iterations of training that are done.
        before: called before the checkpoint is written, to bring back the state that training had.

    Raises:
        SystemExit: as :class:`StopHook` says.
    """
    received = torch.tensor(runner.stop_signals.received)
    all_reduce(received, op='max')
    if received:
        name = signal.Signals(int(received)).name
        runner.logger.warning(f'got {name}: training stops after iteration {num_iters}')
        before()
        runner.call_hook('before_stop', num_iters=num_iters)
        barrier()  # the end of one process ends the others, which must not be while the first still writes
        raise SystemExit(128 + int(received))
