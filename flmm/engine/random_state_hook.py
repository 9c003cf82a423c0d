"""A resumed run draws the random numbers that the interrupted one would have drawn, in every process."""

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.engine.random_state import random_state, set_random_state
from flmm.engine.runner import GroundingRunner
from flmm.registry import HOOKS


@HOOKS.register_module()
class RandomStateHook(Hook):
    """Saves with every checkpoint what the train loops (``flmm/engine/loops.py``) need to go on exactly.

    Validation does not touch the random numbers of training: a run is the same with it and without.
    """

    def __init__(self) -> None:
        self._before_val: dict | None = None
        self._states: list[dict] = []
        self._num_done = 0

    def before_gather_checkpoint(self, runner: Runner) -> None:
        """Bring together the states of all processes; in those without loader workers they drift apart."""
        own = random_state() if self._before_val is None else self._before_val  # what goes on after validation
        state, self._num_done = runner.train_loop.passes.position(own)
        self._states = all_gather_object(state)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add ``random_states``, one by process, and to ``meta`` how far the present pass through the data has come."""
        checkpoint['random_states'] = self._states
        length = len(runner.train_loop.passes.loader)
        checkpoint['meta'].update(pass_batches=self._num_done, batches_per_pass=length)

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
        self._before_val = None
