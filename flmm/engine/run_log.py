"""The head of a training log, on one screen: what a reader needs, and where the rest lies."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.runner.priority import get_priority
from mmengine.utils.dl_utils import collect_env

from flmm.atomic_write import write_text
from flmm.engine.run_record import package_versions


class ShortRunLog:
    """Mixin over mmengine's Runner: its log begins with a dozen lines instead of 400.

    mmengine writes the whole environment, the whole config, and a table of hooks for each of 20 stages. The environment
    goes to ``environment.txt`` beside the log; the config lies in a file anyway. The log names both.
    """

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        if not is_main_process():
            return
        path = Path(self.log_dir) / 'environment.txt'
        settings = {**collect_env(), **env_cfg, **self._randomness_cfg, 'launcher': self._launcher}
        write_text(path, ''.join(f'{key}: {value}\n' for key, value in settings.items()))
        config = Path(self.work_dir) / (Path(self.cfg.filename).name if self.cfg.filename else f'{self.timestamp}.py')
        versions = ', '.join(f'{name} {version}' for name, version in package_versions().items())
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
        self.logger.info(
            f'{self.world_size} x {device}, launcher {self._launcher}, seed {self.seed}\n'
            f'    {versions}\n    environment: {path}\n    config: {config}'
        )

    def get_hooks_info(self) -> str:
        """List the hooks in the order in which every stage calls them, one line for each priority."""
        by_priority: dict[str, list[str]] = {}
        for hook in self.hooks:
            priority = hook.priority if isinstance(hook.priority, str) else str(get_priority(hook.priority))
            by_priority.setdefault(priority, []).append(type(hook).__name__)
        return '\n'.join(f'    {priority:<12} {", ".join(names)}' for priority, names in by_priority.items())
