"""A checkpoint says over which LMM, SAM and attention heads it was trained."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.engine.runner import unwrapped_model
from flmm.models.checkpoints import check_frozen_parts
from flmm.registry import HOOKS


@HOOKS.register_module()
class FrozenPartsHook(Hook):
    """Writes ``meta['frozen_parts']``, and compares it with the model's own when a checkpoint is loaded."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Say what the weights were trained over."""
        checkpoint['meta']['frozen_parts'] = unwrapped_model(runner).frozen_parts()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse a checkpoint that was trained over other frozen parts: its weights would fit.

        Raises:
            ValueError: naming the part.
        """
        check_frozen_parts(unwrapped_model(runner), checkpoint)
