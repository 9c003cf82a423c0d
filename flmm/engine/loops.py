"""mmengine's train loops, which resume wherever a checkpoint was written: between two epochs, or within one.

A *pass* is one way through the data loader. A checkpoint says in which random state it was written, in which one its
pass began, and how many batches of the pass were done. A resumed pass begins in the same state again, throws the done
batches away, and only then takes the state of the checkpoint: samplers and workers are where they were.
"""

import logging
from collections.abc import Iterator
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop as MMEngineEpochBasedTrainLoop
from mmengine.runner import IterBasedTrainLoop as MMEngineIterBasedTrainLoop
from torch.utils.data import DataLoader

from flmm.engine.random_state import random_state, set_random_state
from flmm.registry import LOOPS


class Passes:
    """Goes through a data loader again and again, and knows where it is.

    Args:
        loader: the data loader.

    Attributes:
        began: the random state in which the present pass began.
        num_done: how many batches the present pass has yielded or skipped.
    """

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader
        self.began = random_state()
        self.num_done = 0
        self._resumed: tuple[dict, int, dict | None] | None = None

    def resume(self, *, began: dict, num_done: int = 0, now: dict | None = None) -> None:
        """Let the next pass begin in state ``began``, skip ``num_done`` batches, and go on in state ``now``."""
        self._resumed = (began, num_done, now)

    def position(self, now: dict) -> tuple[dict, int]:
        """Say where the passes are, for a checkpoint.

        Args:
            now: the random state from which training goes on.

        Returns:
            That state, or where a resumed pass has not begun the one that it will take, with the state in which the
            pass began as ``pass_start``; and the number of batches that are done.
        """
        if self._resumed is None:
            return {**now, 'pass_start': self.began}, self.num_done
        began, num_done, then = self._resumed
        return {**(began if then is None else then), 'pass_start': began}, num_done

    def one(self) -> Iterator[tuple[int, Any]]:
        """Yield the numbers and batches of one pass, without those that a resumed one skips."""
        began, num_skipped, now = self._resumed or (random_state(), 0, None)
        self._resumed = None
        set_random_state(began)
        self.began, self.num_done = began, 0
        batches = iter(self.loader)
        for self.num_done in range(1, num_skipped + 1):
            next(batches)
        if now is not None:
            set_random_state(now)
        for batch in batches:
            self.num_done += 1
            yield self.num_done - 1, batch


@LOOPS.register_module()
class EpochBasedTrainLoop(MMEngineEpochBasedTrainLoop):
    """mmengine's loop over epochs, which also resumes from the middle of one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.passes = Passes(self.dataloader)

    def resume(self, checkpoint: dict[str, Any]) -> None:
        """Go on where ``checkpoint`` was written.

        Raises:
            ValueError: an epoch has another number of iterations now, or the checkpoint was written within an epoch and
                does not say where.
        """
        meta = checkpoint['meta']
        self._epoch, self._iter = meta['epoch'], meta['iter']
        resume_passes(self.passes, checkpoint, num_done=self._iter - self._epoch * len(self.dataloader))

    def run_epoch(self) -> None:
        """Train one epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, batch in self.passes.one():
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@LOOPS.register_module()
class IterBasedTrainLoop(MMEngineIterBasedTrainLoop):
    """mmengine's loop over iterations, which resumes without reading again what complete passes have read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.passes = Passes(self.dataloader)
        self._num_passes = 0
        self.dataloader_iterator = self._batches()

    def resume(self, checkpoint: dict[str, Any]) -> None:
        """Go on where ``checkpoint`` was written. For the errors see :class:`EpochBasedTrainLoop`."""
        meta = checkpoint['meta']
        self._iter = meta['iter']
        num_done = meta.get('pass_batches', self._iter)
        self._num_passes = (self._iter - num_done) // len(self.dataloader)
        resume_passes(self.passes, checkpoint, num_done=num_done)

    def run(self) -> None:
        """Train. As in mmengine, hooks see the whole run as one epoch."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._decide_current_val_interval()
            if (
                self.runner.val_loop is not None
                and self._iter >= self.val_begin
                and (self._iter % self.val_interval == 0 or self._iter == self._max_iters)
            ):
                self.runner.val_loop.run()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')

    def _batches(self) -> Iterator[Any]:
        while True:
            for sampler in (self.dataloader.sampler, getattr(self.dataloader.batch_sampler, 'sampler', None)):
                if hasattr(sampler, 'set_epoch'):
                    sampler.set_epoch(self._num_passes)  # a new order
            for _, batch in self.passes.one():
                yield batch
            self._num_passes += 1


def resume_passes(passes: Passes, checkpoint: dict[str, Any], *, num_done: int) -> None:
    """Let ``passes`` go on where ``checkpoint`` was written.

    Args:
        passes: what to resume.
        checkpoint: the loaded file.
        num_done: how many batches of the present pass its numbers of epochs and iterations say were done.

    Raises:
        ValueError: the loader yields another number of batches now, there is another number of processes, or the place
            within a pass is not known.
    """
    meta, length = checkpoint['meta'], len(passes.loader)
    place = f'epoch {meta["epoch"]}, iteration {meta["iter"]}'
    if meta.get('batches_per_pass', length) != length or num_done < 0:
        raise ValueError(
            f'the checkpoint ({place}) comes from a run with {meta.get("batches_per_pass", "fewer")} iterations an '
            f'epoch, now there are {length}: data, batch size or number of processes have changed. Restore them, or '
            'start a new run from its weights (load_from)'
        )
    if passes.loader.persistent_workers and meta['iter'] > num_done:
        print_log(
            'the workers of the interrupted run lived on from epoch to epoch, and no checkpoint knows their random '
            'states: the resumed run draws other numbers. With train_dataloader.persistent_workers=False, runs go on '
            'exactly',
            logger='current',
            level=logging.WARNING,
        )
    state = own_random_state(checkpoint)
    began = state.pop('pass_start', None)
    if num_done == 0 and state:
        passes.resume(began=state)
    elif num_done:
        if began is None:
            raise ValueError(
                f'the checkpoint ({place}) was written {num_done} iterations into an epoch, without the random state '
                'in which that began; resume from one at the end of an epoch, or start a new run from its weights '
                '(load_from)'
            )
        passes.resume(began=began, num_done=num_done, now=state)


def own_random_state(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the random state of this process that ``checkpoint`` holds, empty where it holds none.

    Files of flmm 0.1 have that of the main process alone, by which all go on.

    Raises:
        ValueError: the run had another number of processes.
    """
    states = checkpoint.get('random_states')
    if states is None:
        return dict(checkpoint.get('random_state', {}))
    if len(states) != get_world_size():
        raise ValueError(
            f'the checkpoint comes from a run of {len(states)} processes, now there are {get_world_size()}: start as '
            'many, or start a new run from its weights (load_from)'
        )
    return dict(states[get_rank()])
