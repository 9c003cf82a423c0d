"""mmengine's Runner, whose resumed runs go on exactly, by the config, and execute nothing that a checkpoint holds."""

from collections.abc import Callable
from typing import Any

from mmengine.device import get_device
from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.checkpoint import load_state_dict

from flmm.engine.loops import EpochBasedTrainLoop, IterBasedTrainLoop
from flmm.engine.resume import resume_optimizers, resume_schedulers
from flmm.engine.run_log import ShortRunLog
from flmm.engine.schedulers import check_reaches_base
from flmm.models import FrozenLMM
from flmm.models.checkpoints import read_checkpoint
from flmm.registry import RUNNERS

RESUMED_PARTS = ('meta', 'message_hub', 'optimizer', 'param_schedulers')
"""What a checkpoint must hold, beside the weights, for a run to go on from it."""


def unwrapped_model(runner: Runner) -> FrozenLMM:
    """Return the runner's model, without DistributedDataParallel around it."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


@RUNNERS.register_module()
class GroundingRunner(ShortRunLog, Runner):
    """mmengine's Runner with train loops of our own, and another way to resume.

    What was reached comes from the checkpoint: weights, the optimizer's moments, iterations, random states. How to go
    on comes from the config: rates and other settings of the optimizer, the schedule, the number of epochs. The log
    names what differs from before. mmengine would go on by the stored settings without a word, and would execute the
    text of ``meta['config']``, even of a file that was read as plain data.
    """

    def build_train_loop(self, loop: BaseLoop | dict[str, Any]) -> BaseLoop:
        """Build the train loop; ``by_epoch`` chooses between ours, as it does between mmengine's.

        Raises:
            ValueError: it is none of ours, so that no checkpoint could say where in the data it was written.
        """
        if isinstance(loop, dict) and 'by_epoch' in loop and 'type' not in loop:
            loop = dict(loop)
            loop['type'] = EpochBasedTrainLoop if loop.pop('by_epoch') else IterBasedTrainLoop
        built = super().build_train_loop(loop)
        if not isinstance(built, (EpochBasedTrainLoop, IterBasedTrainLoop)):
            raise ValueError(
                f'the train loop is a {type(built).__module__}.{type(built).__name__}, expected EpochBasedTrainLoop or '
                'IterBasedTrainLoop of flmm.engine, or a subclass: set train_cfg.type so'
            )
        return built

    def build_param_scheduler(
        self, scheduler: _ParamScheduler | dict[str, Any] | list
    ) -> list[_ParamScheduler] | dict[str, list[_ParamScheduler]]:
        """Build the schedulers.

        Raises:
            ValueError: one would never leave the value that it starts with.
        """
        built = super().build_param_scheduler(scheduler)
        for schedulers in built.values() if isinstance(built, dict) else [built]:
            for each in schedulers:
                check_reaches_base(each)
        return built

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = 'cpu',
        strict: bool = False,  # noqa: FBT001, FBT002 (mmengine's signature)
    ) -> dict[str, Any]:
        """Load weights, from a file that is read as plain data.

        Raises:
            ValueError: the file cannot be read, or does not fit the model, ``strict`` or not.
        """
        checkpoint = read_checkpoint(filename, map_location=map_location)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        load_state_dict(unwrapped_model(self), checkpoint['state_dict'], strict, self.logger)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,  # noqa: FBT001, FBT002 (mmengine's signature)
        resume_param_scheduler: bool = True,  # noqa: FBT001, FBT002
        map_location: str | Callable = 'default',
    ) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: the file holds weights alone, or was written by a run with another seed, other data, another
                optimizer or with EMAHook where this one has none; or the run has a schedule that cannot be resumed.
        """
        checkpoint = self.load_checkpoint(filename, get_device() if map_location == 'default' else map_location)
        missing = [part for part in RESUMED_PARTS if part not in checkpoint]
        if missing:
            raise ValueError(
                f'{filename} lacks {missing}: no run can go on from it; take its weights alone (load_from)'
            )
        if 'ema_state_dict' in checkpoint and not any(isinstance(hook, EMAHook) for hook in self.hooks):
            raise ValueError(
                f'{filename} comes from a run with EMAHook, and its weights are the averages; add EMAHook again, or '
                'start a new run from the averages (load_from)'
            )
        seed = checkpoint['meta'].get('seed')
        if seed is not None and seed != self.seed:
            raise ValueError(
                f'{filename} comes from a run with seed {seed}, this one has {self.seed}, which orders the data '
                f'otherwise; set randomness.seed={seed}'
            )
        self.train_loop.resume(checkpoint)
        self.message_hub.load_state_dict(checkpoint['message_hub'])
        changes = []
        if resume_optimizer:
            changes += resume_optimizers(self.optim_wrapper, checkpoint['optimizer'])
        if resume_param_scheduler and self.param_schedulers:
            changes += resume_schedulers(
                self.param_schedulers,
                checkpoint['param_schedulers'],
                num_iters=self.iter,
                num_epochs=self.epoch,
                epoch_length=len(self.train_dataloader),
            )
        for change in changes:
            self.logger.warning(f'resumed with another setting, which holds from here on: {change}')
        if self.iter >= self.max_iters:
            self.logger.warning(
                f'nothing is left to train: {filename} has done {self.iter} of {self.max_iters} iterations; to go on, '
                'raise max_epochs or max_iters of train_cfg'
            )
        self.logger.info(f'resumed epoch: {self.epoch}, iter: {self.iter}')
