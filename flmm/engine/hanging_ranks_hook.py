"""A run of several processes ends when one of them hangs, and says which one and where."""

from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.distributed.distributed_c10d import _get_default_store

from flmm.engine.loops import Passes
from flmm.engine.rank_watch import RankWatch
from flmm.registry import HOOKS


@HOOKS.register_module()
class HangingRanksHook(Hook):
    """Ends a run of several processes in which nothing moves any more, and names the process that hangs.

    torch.distributed itself waits for a process that hangs until its own timeout is over, and then says in which
    operation, not for whom. Here each process knows where all of them stand
    (:class:`flmm.engine.rank_watch.RankWatch`). One is *still* when its main thread has stood at one instruction,
    within one iteration, for ``timeout`` seconds, or when nothing was heard of it for so long. When all are still, each
    prints where all of them stand, and ends with exit code 1. As long as one computes, however long, the others may
    wait for it.

    Args:
        timeout: in seconds. The default lies below the ten minutes after which NCCL ends a run by itself; who raises
            ``env_cfg.dist_cfg.timeout`` may raise it, too.

    Raises:
        ValueError: a timeout that is not above 0.
    """

    def __init__(self, *, timeout: float = 540.0) -> None:
        if timeout <= 0:
            raise ValueError(f'timeout is {timeout}, expected a number of seconds above 0')
        self.timeout = timeout
        self._watch: RankWatch | None = None
        self._num_steps = 0
        self._passes: Passes | None = None

    def before_run(self, runner: Runner) -> None:
        """Begin to watch, where there are several processes."""
        if get_world_size() > 1:
            self._watch = RankWatch(
                store=_get_default_store(),
                rank=get_rank(),
                world_size=get_world_size(),
                timeout=self.timeout,
                steps=lambda: self._num_steps + (self._passes.num_done if self._passes else 0),
            )

    def before_train(self, runner: Runner) -> None:
        """Count batches that a resumed run skips, too."""
        self._passes = runner.train_loop.passes

    def after_run(self, runner: Runner) -> None:
        """Stop to watch."""
        if self._watch is not None:
            self._watch.end()
            self._watch = None

    def _before_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, mode: str = 'train') -> None:
        self._num_steps += 1

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = 'train'
    ) -> None:
        self._num_steps += 1
