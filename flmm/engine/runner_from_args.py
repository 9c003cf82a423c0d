"""What tools/train.py and tools/test.py share: mmengine's usual options, a config made of them, its runner."""

import argparse
import atexit
import functools
import gc
from pathlib import Path

import torch
from mmengine.config import Config, DictAction

from flmm.config import read_config
from flmm.engine.launchers import LAUNCHERS, connect_processes
from flmm.engine.runner import GroundingRunner
from flmm.features import check_stored_features


def add_runner_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every mmengine tool has."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; defaults to work_dirs/<config name>')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='override config values: key=value, nested.key=value, key="[a,b]"; +key=value adds a key',
    )
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='who starts the processes')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by some launchers, not read')


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` with its overrides.

    Raises:
        ValueError: the file is absent, a key looks misspelt, an override names no key, or a loader reads stored
            features of another model.
    """
    config = read_config(args.config, args.cfg_options)
    check_stored_features(config)
    config.launcher = args.launcher
    config.work_dir = args.work_dir or config.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    return config


def build_runner(config: Config) -> GroundingRunner:
    """Build the runner of ``config``, in each of its processes (:func:`connect_processes`).

    mmengine binds each process to a GPU of its own when it connects them and when it wraps the model.

    Raises:
        ValueError: the launcher has not started this process.
    """
    _set_imports_apart()
    if config.launcher != 'none':
        connect_processes(config.launcher, dist_cfg=config.get('env_cfg', {}).get('dist_cfg', {}))
    if config.launcher != 'none' and not torch.cuda.is_available():
        config.model_wrapper_cfg = {
            'type': 'MMDistributedDataParallel',
            'device_ids': None,
            'broadcast_buffers': False,
        }
    return GroundingRunner.from_cfg(config)


@functools.cache  # once in a process, and not by what is frozen: Python 3.12 begins with some objects that are
def _set_imports_apart() -> None:
    """Take what was imported out of garbage collections. mmengine makes one for each dataset; workers would copy it."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # what is left over then is collected as ever
