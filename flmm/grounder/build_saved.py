"""From the config of a saved grounder to its model, over frozen parts that are found and compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.registry import DefaultScope
from torch import Tensor, nn

from flmm.datasets import RefCOCO2PNG
from flmm.grounder.grounder_folder import CONFIG, find_weights
from flmm.grounder.stored_config import checked_part, with_absolute_paths
from flmm.grounder.stored_types import model_types, to_sample_types
from flmm.models import FrozenLMM
from flmm.models.fingerprints import different_part
from flmm.registry import MODELS, TRANSFORMS

UNBUILDABLE = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What is raised where settings are of the right kind, but do not fit together."""


class WithoutLoss(nn.Module):
    """Stands where losses would, in a model that was loaded to find phrases, not to train."""

    def forward(self, *unused: Tensor, **also_unused: Tensor) -> Tensor:
        """Refuse."""
        raise ValueError('a grounder that was loaded from its folder has no losses; train with a config')


def replace_weights(document: dict[str, Any], *, lmm: str | None, sam_checkpoint: str | None) -> dict[str, Any]:
    """Put what the caller names in place of what a folder names.

    Args:
        document: what ``config.json`` says; it is changed.
        lmm: folder or name of the LMM and its processor; None leaves them.
        sam_checkpoint: file, folder or name of SAM's weights; None leaves them.

    Returns:
        Of the document what is built: ``model`` and ``to_sample``.
    """
    config = {part: document[part] for part in ('model', 'to_sample')}
    given, processor = config['model']['lmm'], config['to_sample']['image_processor']
    if lmm is not None:
        if processor['pretrained_model_name_or_path'] == given['name_or_path']:
            processor['pretrained_model_name_or_path'] = lmm
        given['name_or_path'] = lmm
    if sam_checkpoint is not None:
        sam = config['model']['sam']['sam']
        sam['name_or_path' if 'name_or_path' in sam else 'checkpoint'] = sam_checkpoint
    return with_absolute_paths(config)


def build_saved(config: dict[str, Any], folder: Path, **download: Any) -> tuple[FrozenLMM, RefCOCO2PNG]:
    """Build model and processor, on the CPU; what was trained is random.

    Args:
        config: what :func:`replace_weights` returns.
        folder: that of the config.
        **download: ``snapshot_download``'s.

    Raises:
        ValueError: weights are not found or do not fit, or settings do not fit together.
    """
    found: dict[str, str] = {}  # LMM and processor are one

    def weights(source: Any, key: str) -> str:
        place = repr(source)
        if place not in found:
            found[place] = find_weights(source, key, folder=folder, **download)
        return found[place]

    model = checked_part(config['model'], model_types(), key='model', weights=weights)
    to_sample = checked_part(config['to_sample'], to_sample_types(), key='to_sample', weights=weights)
    losses = {'loss_mask': {'type': WithoutLoss}, 'loss_dice': {'type': WithoutLoss}}
    try:
        with DefaultScope.overwrite_default_scope('flmm'):
            return MODELS.build(model | losses), TRANSFORMS.build(to_sample)
    except UNBUILDABLE as error:
        raise ValueError(f'what {str(folder / CONFIG)!r} describes cannot be built: {error}') from error


def check_frozen_parts(saved: Mapping[str, str], model: FrozenLMM, path: Path) -> None:
    """Refuse other frozen parts than those that the trained part was trained over.

    Args:
        saved: what ``config.json`` says of them.
        model: what was built.
        path: where that file lies, for the message.

    Raises:
        ValueError: naming the part that differs.
    """
    own = model.frozen_parts()
    # A setting may be absent, as it is in files from before it was compared: `model` beside it has it, too.
    if not model.fingerprints.keys() <= saved.keys() <= own.keys():
        raise ValueError(f'{str(path)!r}: frozen_parts has {sorted(saved)}, expected {sorted(own)}; save it again')
    part = different_part(saved, own)
    if part is not None:
        raise ValueError(
            f'{str(path)!r} is of a model over another {part} ({saved[part]}) than was found ({own[part]}); name its '
            "own by lmm='...' or sam_checkpoint='...'"
        )
