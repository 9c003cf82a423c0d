"""What figures were made with: kept beside them, so that they can be made again."""

import datetime
import importlib.metadata
import platform
from typing import Any

import flmm
from flmm.features.file_state import sha256_of

PACKAGES = ('torch', 'transformers', 'mmengine', 'mmdet')


def run_record(*, config: str, cfg_options: dict[str, Any], checkpoint: str | None, seed: int | None) -> dict[str, Any]:
    """Describe a run.

    Args:
        config: path of the config.
        cfg_options: what was overridden in it.
        checkpoint: path of the weights; None where the model has nothing that is trained.
        seed: of the run.

    Returns:
        The arguments, ``checkpoint_sha256`` (of the file), ``date`` (ISO 8601, UTC) and ``versions``, by package.
    """
    versions = {'flmm': flmm.__version__, 'python': platform.python_version()}
    return {
        'config': config,
        'cfg_options': cfg_options,
        'checkpoint': checkpoint,
        'checkpoint_sha256': None if checkpoint is None else sha256_of(checkpoint),
        'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        'versions': versions | {package: importlib.metadata.version(package) for package in PACKAGES},
        'seed': seed,
    }
