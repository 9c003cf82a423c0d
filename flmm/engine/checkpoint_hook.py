"""Checkpoints of which the last good one survives, wherever a run ends."""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process, master_only
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.runner import Runner

from flmm.atomic_write import remove_unfinished
from flmm.engine import atomic_backend  # noqa: F401 (registers it)
from flmm.engine.newest_checkpoint import NO_CHECKPOINT, write_pointer
from flmm.models.checkpoints import read_checkpoint
from flmm.registry import HOOKS

INTERRUPTED = 'interrupted.pth'
"""The checkpoint of a run that was asked to stop; it is removed when there is a newer one."""
OUTDATED = 'outdated_ckpts'
"""Under this name a checkpoint says which files its run removes next."""


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """mmengine's CheckpointHook, with its arguments, in another order: old files go when new ones are on the disk.

    Local files are written under a temporary name, flushed and renamed. Then ``last_checkpoint`` takes the name of the
    new one, and only then is an old one removed, also of the best ones (``save_best``). All names are below the folder
    of this run: one that was copied or moved goes on with its own files.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._earlier_best: dict[str | None, str | None] = {}
        self._goes_on = False

    def before_train(self, runner: Runner) -> None:
        """Find the folder, and remove what a killed run has left unfinished there.

        A new run in the folder of an earlier one says so, and leaves its files until it writes some of the same name.
        """
        is_local = '://' not in (self.out_dir or runner.work_dir) and self.file_client_args is None
        if is_local and self.backend_args in (None, {}, {'backend': 'local'}):
            self.backend_args = {'backend': 'atomic'}
        super().before_train(runner)
        self._goes_on = (
            runner.resumed_from is not None
            and Path(runner.resumed_from).resolve().parent == Path(self.out_dir).resolve()
        )
        if self._goes_on:
            self.last_ckpt = runner.resumed_from
            for name in runner.message_hub.runtime_info.get(OUTDATED, []):
                self._remove(self._here(name))  # the interrupted run was about to
        best = {key: path and self._here(Path(path).name) for key, path in self._best().items()}
        self._set_best({key: path if path and self.file_backend.isfile(path) else None for key, path in best.items()})
        if is_local and is_main_process():
            remove_unfinished(self.out_dir)
            there = sorted(path.name for path in Path(self.out_dir).glob('*.pth'))
            if there and not self._goes_on:
                runner.logger.warning(
                    f'{self.out_dir} has checkpoints of an earlier run, which stay: {", ".join(there)}. --resume will '
                    'go on from those of this run alone'
                )
                write_pointer(runner.work_dir, NO_CHECKPOINT)

    def before_stop(self, runner: Runner, *, num_iters: int) -> None:
        """Write a checkpoint after so many iterations."""
        runner.message_hub.update_info(OUTDATED, [])
        self._write(runner, INTERRUPTED, meta={'epoch': runner.epoch, 'iter': num_iters})
        runner.logger.warning(f'checkpoint: {self.last_ckpt}; go on from there by --resume')

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        outdated = self._outdated_best()
        if self.max_keep_ckpts > 0 and (not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step):
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated.append(self.filename_tmpl.format(self.keep_ckpt_ids[0]))
            self.keep_ckpt_ids.append(step)  # a deque, whose first one leaves
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        runner.message_hub.update_info(OUTDATED, outdated)
        self._write(runner, self.filename_tmpl.format(step), meta=meta)
        for name in [*outdated, *([INTERRUPTED] if self._goes_on else [])]:
            self._remove(self._here(name))

    def _write(self, runner: Runner, name: str, *, meta: dict[str, Any]) -> None:
        self.last_ckpt = self._here(name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            write_pointer(runner.work_dir, name)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        self._earlier_best = self._best()
        self._set_best(dict.fromkeys(self._earlier_best))  # mmengine removes what is noted here before it writes
        super()._save_best_checkpoint(runner, metrics)
        for name in self._outdated_best():
            self._remove(self._here(name))
        self._set_best({key: self._earlier_best[key] for key, path in self._best().items() if path is None})
        self._earlier_best = {}

    def _outdated_best(self) -> list[str]:
        """Name the files of earlier best checkpoints, where there are better ones now."""
        best = self._best()
        return [Path(path).name for key, path in self._earlier_best.items() if path and best[key] and best[key] != path]

    @master_only
    def _publish_model(self, runner: Runner, ckpt_path: str | None) -> None:
        if ckpt_path in (None, 'None'):  # mmengine's word for a metric that has no best checkpoint
            return
        checkpoint = read_checkpoint(ckpt_path)
        content = io.BytesIO()
        torch.save({key: value for key, value in checkpoint.items() if key in self.published_keys}, content)
        digest = hashlib.sha256(content.getvalue()).hexdigest()[:8]
        path = f'{ckpt_path.removesuffix(".pth")}-{digest}.pth'
        self.file_backend.put(content.getvalue(), path)
        runner.logger.info(f'{ckpt_path} is published as {path}')

    def _best(self) -> dict[str | None, str | None]:
        """Return the paths of the best checkpoints, by their metrics."""
        if self.save_best is None:
            return {}
        if len(self.key_indicators) == 1:
            return {None: self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)

    def _set_best(self, paths: dict[str | None, str | None]) -> None:
        for key, path in paths.items():
            if key is None:
                self.best_ckpt_path = path
            else:
                self.best_ckpt_path_dict[key] = path

    def _here(self, name: str) -> str:
        return self.file_backend.join_path(self.out_dir, name)

    def _remove(self, path: str) -> None:
        if is_main_process() and self.file_backend.isfile(path):
            self.file_backend.remove(path)
