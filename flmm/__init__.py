"""Masks for the words a frozen large multimodal model (LMM) reads.

``import flmm`` costs nothing: torch, transformers, mmengine and mmdet come with the module that needs them, and with
``flmm.Grounder`` when it is first used.

- ``flmm.grounder`` has Grounder: masks for phrases of any image, from a config and a checkpoint.
- ``flmm.datasets`` and ``flmm.models`` hold what configs name; ``flmm.engine`` and ``flmm.evaluation`` run it.
- ``flmm.families`` lists the LMMs that can be frozen; ``flmm.features`` stores what they say;
  ``flmm.convert`` turns published checkpoints into those of this package.
- ``flmm.visualization`` draws samples; ``flmm.shapes`` draws scenes to try all of this on.
- ``flmm.qwen`` has Qwen-VL models with adaptive patches, ``flmm.apt`` the patches alone.
- ``flmm.finetune`` turns conversations into batches for transformers' Trainer.
"""

from typing import TYPE_CHECKING, Any

from flmm.mmcv_ops import install_placeholder

if TYPE_CHECKING:
    from flmm.grounder import Grounder

__all__ = ['Grounder', '__version__']
__version__ = '0.3.0'

# Before any module of ours imports mmdet. Costs nothing: mmcv itself is not imported here.
install_placeholder()


def __getattr__(name: str) -> Any:
    """Import what is costly when it is first asked for."""
    if name == 'Grounder':
        from flmm.grounder import Grounder

        return Grounder
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return [*globals(), 'Grounder']
