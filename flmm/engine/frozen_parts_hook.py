"""A checkpoint says over which LMM, SAM and attention heads it was trained, and by which version of this package."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

import flmm
from flmm.engine.runner import unwrapped_model
from flmm.models.checkpoints import check_frozen_parts
from flmm.registry import HOOKS


@HOOKS.register_module()
class FrozenPartsHook(Hook):
    """Writes ``meta['frozen_parts']``, and compares it with the model's own when a checkpoint is loaded.

    Args:
        allow_other: take a checkpoint that was trained over other frozen parts, with a warning. Its weights then read
            the attention of a model that they do not know.
    """

    def __init__(self, *, allow_other: bool = False) -> None:
        self.allow_other = allow_other

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Say what the weights were trained over, and what wrote them."""
        checkpoint['meta']['flmm_version'] = flmm.__version__
        checkpoint['meta']['frozen_parts'] = unwrapped_model(runner).frozen_parts()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse a checkpoint that was trained over other frozen parts: its weights would fit.

        Raises:
            ValueError: naming the part, unless ``allow_other``.
        """
        try:
            check_frozen_parts(unwrapped_model(runner), checkpoint)
        except ValueError as error:
            if not self.allow_other:
                raise
            runner.logger.warning(f'taken all the same, by allow_other: {error}')
