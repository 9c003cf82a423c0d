"""A validation that was cut off is made up for when the run goes on."""

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.atomic_write import write_json
from flmm.engine.loops import EpochBasedTrainLoop
from flmm.engine.main_process import from_main_process
from flmm.json_files import parse_json
from flmm.registry import HOOKS

RECORD = 'validated.json'


@HOOKS.register_module()
class ValidationRecordHook(Hook):
    """Notes in ``validated.json`` after which iterations there was a validation, and makes up for one that is missing.

    The checkpoint of an epoch is written before its validation. A run that ended within that would go on without it:
    no metrics of this epoch, and no best checkpoint, though it may be the best.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._iters: list[int] | None = None  # outside of training

    def before_train(self, runner: Runner) -> None:
        """Validate first, if a resumed run stands where a validation is due and none is noted."""
        self._iters = [number for number in from_main_process(lambda: _noted(runner)) if number <= runner.iter]
        self._write(runner)  # of an earlier run nothing stays
        if runner.resumed_from is None or runner.val_loop is None or runner.iter in self._iters or not _is_due(runner):
            return
        runner.logger.info(f'the run ended before its validation after iteration {runner.iter}, which follows now')
        runner.val_loop.run()

    def after_val(self, runner: Runner) -> None:
        """Note one of training."""
        if self._iters is not None:
            self._iters.append(runner.iter)
            self._write(runner)

    @master_only
    def _write(self, runner: Runner) -> None:
        write_json(Path(runner.work_dir, RECORD), self._iters, indent=None)


def _is_due(runner: Runner) -> bool:
    loop = runner.train_loop
    loop._decide_current_val_interval()
    if isinstance(loop, EpochBasedTrainLoop):
        done, end = runner.epoch, runner.max_epochs
        if runner.iter != done * len(loop.dataloader):
            return False
    else:
        done, end = runner.iter, runner.max_iters
    return done > 0 and done >= loop.val_begin and (done % loop.val_interval == 0 or done == end)


def _noted(runner: Runner) -> list[int]:
    """Return the iterations that the run of the resumed checkpoint has noted: in its work dir, or beside the file."""
    if runner.resumed_from is None:
        return []
    folder = Path(runner.resumed_from).resolve().parent
    path = Path(runner.work_dir if folder == Path(runner.checkpoint_folder).resolve() else folder, RECORD)
    return parse_json(path.read_bytes(), where=str(path)) if path.is_file() else []
