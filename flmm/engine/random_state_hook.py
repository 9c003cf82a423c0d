"""A resumed run draws the random numbers that the interrupted one would have drawn."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.engine.random_state import random_state, set_random_state
from flmm.engine.runner import GroundingRunner
from flmm.registry import HOOKS


@HOOKS.register_module()
class RandomStateHook(Hook):
    """Saves with every checkpoint what the train loops (``flmm/engine/loops.py``) need to go on exactly.

    Validation runs between two epochs but not between a checkpoint and the epoch that follows it after a resume, so it
    gets a random state of its own: an uninterrupted and a resumed run stay the same. In a distributed run all ranks
    continue with the state of rank 0, as mmengine starts them with one seed.
    """

    def __init__(self) -> None:
        self._before_val: dict | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the ``random_state``, and to ``meta`` how far the present pass through the data has come."""
        passes = runner.train_loop.passes
        checkpoint['random_state'] = {**random_state(), 'pass_start': passes.began}
        checkpoint['meta'].update(pass_batches=passes.num_done, batches_per_pass=len(passes.loader))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to resume in mmengine's own Runner, which would execute text of the checkpoint, and not go on exactly.

        Raises:
            ValueError: naming the Runner to use.
        """
        if runner._resume and not isinstance(runner, GroundingRunner):
            raise ValueError(f'{type(runner).__name__} cannot resume this run; use flmm.engine.GroundingRunner')

    def before_val(self, runner: Runner) -> None:
        """Keep training's state."""
        self._before_val = random_state()

    def after_val(self, runner: Runner) -> None:
        """Give training its state back."""
        set_random_state(self._before_val)
