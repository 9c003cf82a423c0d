"""A resumed run draws the random numbers that the interrupted one would have drawn."""

import random

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.registry import HOOKS


def random_state() -> dict:
    """Return the state of Python's, numpy's and torch's global generators (CPU and every GPU), as plain data."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 (mmengine seeds this one)
    return {
        'python': (version, list(internal), gauss),
        'numpy': (name, keys.tolist(), position, has_gauss, cached),
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state_all(),
    }


def set_random_state(state: dict) -> None:
    """Set the generators to a state that :func:`random_state` returned."""
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state['numpy']
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state['torch'].cpu())
    if len(state['cuda']) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([of_device.cpu() for of_device in state['cuda']])


@HOOKS.register_module()
class RandomStateHook(Hook):
    """Saves the random state with every checkpoint and restores it when a run is resumed.

    Validation runs between two epochs but not between a checkpoint and the epoch that follows it after a resume, so it
    gets a random state of its own: an uninterrupted and a resumed run stay the same. Exact for epoch-based loops; in a
    distributed run all ranks continue with the state of rank 0, as mmengine starts them with one seed.
    """

    def __init__(self) -> None:
        self._resumed: dict | None = None
        self._before_val: dict | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add ``random_state`` to the checkpoint."""
        checkpoint['random_state'] = random_state()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the state; whether the run resumes or only starts from these weights is known when it begins."""
        self._resumed = checkpoint.get('random_state')

    def before_train(self, runner: Runner) -> None:
        """Forget the state of a checkpoint that was loaded for its weights."""
        if runner.iter == 0:
            self._resumed = None

    def before_train_epoch(self, runner: Runner) -> None:
        """Restore the state once, before the first epoch of a resumed run draws its batches."""
        if self._resumed is not None:
            set_random_state(self._resumed)
            self._resumed = None

    def before_val(self, runner: Runner) -> None:
        """Keep training's state."""
        self._before_val = random_state()

    def after_val(self, runner: Runner) -> None:
        """Give training its state back."""
        set_random_state(self._before_val)
