"""mmengine's Runner, whose resumed runs go on exactly, by the config, and execute nothing that a checkpoint holds."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.device import get_device
from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.checkpoint import load_state_dict

from flmm.engine.checkpoint_hook import CheckpointHook
from flmm.engine.loops import EpochBasedTrainLoop, IterBasedTrainLoop
from flmm.engine.main_process import from_main_process
from flmm.engine.newest_checkpoint import check_resumable, newest_checkpoint
from flmm.engine.resume import resume_optimizers, resume_schedulers
from flmm.engine.run_log import ShortRunLog
from flmm.engine.schedulers import check_reaches_base
from flmm.engine.stop_signals import StopSignals
from flmm.engine.work_dir_lock import work_dir_lock
from flmm.evaluation.dump_video_masks import DumpVideoMasks
from flmm.models import FrozenLMM
from flmm.models.checkpoints import read_checkpoint
from flmm.registry import RUNNERS, is_type


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

    Attributes:
        stop_signals: whether the process was asked to stop.
        resumed_from: path of the checkpoint that this run goes on from, if any.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.stop_signals = StopSignals()
        self.resumed_from: str | None = None
        super().__init__(*args, **kwargs)

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

    def train(self) -> FrozenLMM:
        """Train. SIGTERM and SIGINT end it with a checkpoint (:class:`flmm.engine.StopHook`).

        Raises:
            ValueError: another training writes to the work dir.
        """
        with ExitStack() as held:
            for folder in dict.fromkeys((self.work_dir, self.checkpoint_folder)):
                if '://' not in folder:
                    held.enter_context(work_dir_lock(folder))
            super().dump_config()
            held.enter_context(self.stop_signals)
            return super().train()

    def test(self) -> dict[str, float]:
        """Test."""
        super().dump_config()
        return super().test()

    def dump_config(self) -> None:
        """Leave the config in the work dir as it is until it is known that this run may write there."""

    def build_val_loop(self, loop: BaseLoop | dict[str, Any]) -> BaseLoop:
        """Build the validation loop; where the run goes on, its DumpVideoMasks takes earlier masks for the run's."""
        self._find_checkpoint()
        if self._resume and isinstance(self._val_evaluator, (dict, list)):
            metrics = [self._val_evaluator] if isinstance(self._val_evaluator, dict) else self._val_evaluator
            self._val_evaluator = [
                {**metric, 'resume': True} if isinstance(metric, dict) and is_type(metric, DumpVideoMasks) else metric
                for metric in metrics
            ]
        return super().build_val_loop(loop)

    def load_or_resume(self) -> None:
        """Load what ``load_from`` and ``resume`` say; where 'auto' finds nothing to resume, the run starts anew."""
        self._find_checkpoint()
        super().load_or_resume()

    def _find_checkpoint(self) -> None:
        """Find the checkpoint to go on from, where none is named."""
        if self._resume == 'auto' or (self._resume and self._load_from is None):
            newest, passed_over = from_main_process(lambda: newest_checkpoint(self.work_dir, self.checkpoint_folder))
            for problem in passed_over:
                self.logger.warning(f'passed over: {problem}')
            self._resume = newest is not None
            if newest is not None:
                self._load_from = newest
            else:
                start = f'the weights in {self._load_from}' if self._load_from else 'new weights'
                self.logger.info(f'nothing to resume in {self.work_dir}: the run starts from {start}')

    @cached_property  # the hook itself changes its out_dir when training begins
    def checkpoint_folder(self) -> str:
        """Where CheckpointHook writes."""
        given = next((hook.out_dir for hook in self.hooks if isinstance(hook, CheckpointHook)), None)
        if given is None or given == self.work_dir:
            return self.work_dir
        return f'{given.rstrip("/")}/{Path(self.work_dir).name}'

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint; to be called in every process, of which the main one writes.

        Hooks may bring together what the processes have in a method ``before_gather_checkpoint(runner)``. mmengine
        calls ``before_save_checkpoint`` in the main process alone.
        """
        self.call_hook('before_gather_checkpoint')
        super().save_checkpoint(*args, **kwargs)

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
        check_resumable(checkpoint, filename)
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
        self.resumed_from = filename
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
