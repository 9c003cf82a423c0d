"""What figures were made with: kept beside them, so that they can be made again."""

import datetime
import importlib.metadata
import platform
from typing import Any

from mmengine.fileio import get_local_path

import flmm
from flmm.features.file_state import sha256_of
from flmm.models.checkpoints import existing_checkpoint

PACKAGES = ('torch', 'transformers', 'mmengine', 'mmdet')


def run_record(*, config: str, cfg_options: dict[str, Any], checkpoint: str | None) -> dict[str, Any]:
    """Describe a run.

    Args:
        config: path of the config.
        cfg_options: what was overridden in it.
        checkpoint: file of the weights, or what mmengine's file backends read (s3://); None where the model has nothing
            that is trained.

    Returns:
        The arguments, ``checkpoint_sha256`` (of the file), ``date`` (ISO 8601, UTC) and ``versions``, by package.

    Raises:
        ValueError: there is no such checkpoint.
    """
    sha256 = None
    if checkpoint is not None:
        with get_local_path(existing_checkpoint(checkpoint)) as local:
            sha256 = sha256_of(local)
    return {
        'config': config,
        'cfg_options': cfg_options,
        'checkpoint': checkpoint,
        'checkpoint_sha256': sha256,
        'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        'versions': package_versions(),
    }


def package_versions() -> dict[str, str]:
    """Return the versions of flmm, of Python, and of the packages that figures depend on most."""
    versions = {'flmm': flmm.__version__, 'python': platform.python_version()}
    return versions | {package: importlib.metadata.version(package) for package in PACKAGES}
