"""Where the visualizer writes: mmengine's backends, mended where they lose something without a word."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.visualization import vis_backend as mmengine_backends
from mmengine.visualization.vis_backend import force_init_env
from PIL import Image

from flmm.atomic_write import open_atomic
from flmm.registry import VISBACKENDS


@VISBACKENDS.register_module()
class LocalVisBackend(mmengine_backends.LocalVisBackend):
    """mmengine's files in ``vis_data``, where a picture that cannot be written is an error."""

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **_: Any) -> None:
        """Write ``vis_image/<name>_<step>.png``; a name may begin with folders.

        Args:
            name: of the picture.
            image: [H, W, 3] uint8, RGB.
            step: the iteration.

        Raises:
            OSError: it cannot be written.
        """
        path = Path(self._img_save_dir) / f'{name}_{step}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_atomic(path) as file:
            Image.fromarray(image).save(file, format='PNG')


@VISBACKENDS.register_module()
class TensorboardVisBackend(mmengine_backends.TensorboardVisBackend):
    """mmengine's event files for TensorBoard.

    Raises:
        ValueError: the package is not installed.
    """

    def __init__(self, save_dir: str) -> None:
        _require('tensorboard', backend='TensorboardVisBackend')
        super().__init__(save_dir)


@VISBACKENDS.register_module()
class WandbVisBackend(mmengine_backends.WandbVisBackend):
    """mmengine's runs of Weights & Biases, with the iteration as their x-axis. Arguments are mmengine's.

    mmengine leaves the axis to the number of calls, uploads every Python file below the working directory, and ends a
    run by a function that the package no longer has.

    Raises:
        ValueError: the package is not installed.
    """

    def __init__(self, save_dir: str, **settings: Any) -> None:
        _require('wandb', backend='WandbVisBackend')
        super().__init__(save_dir, **settings)

    def _init_env(self) -> None:
        super()._init_env()
        self._wandb.define_metric('*', step_metric='step')

    @force_init_env
    def add_config(self, config: Config, **_: Any) -> None:
        """Keep the config with the run, also with one that goes on under its old id."""
        self._wandb.config.update(config.to_dict(), allow_val_change=True)

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **_: Any) -> None:
        """Log a picture, [H, W, 3] uint8, RGB."""
        self._wandb.log({name: self._wandb.Image(image), 'step': step}, commit=self._commit)

    @force_init_env
    def add_scalar(self, name: str, value: Any, step: int = 0, **_: Any) -> None:
        """Log one number."""
        self.add_scalars({name: value}, step)

    @force_init_env
    def add_scalars(self, scalar_dict: dict[str, Any], step: int = 0, file_path: str | None = None, **_: Any) -> None:
        """Log numbers of one iteration."""
        self._wandb.log({**scalar_dict, 'step': step}, commit=self._commit)

    def close(self) -> None:
        """End the run, so that all is uploaded or written."""
        if hasattr(self, '_wandb'):
            self._wandb.finish()


def _require(package: str, *, backend: str) -> None:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:  # or a folder of that name, which wandb leaves behind
        raise ValueError(
            f"{backend} needs the package {package}, which is not installed; it comes with flmm's extra {package!r}: "
            f"pip install '.[{package}]' in the clone"
        )
