"""What is written of a grounder, to a folder or to the hub."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin, try_to_load_from_cache
from safetensors.torch import save
from torch import Tensor

import flmm
from flmm.atomic_write import open_atomic, write_json
from flmm.grounder.grounder_folder import CONFIG, FORMAT_VERSION, LMM, SAM, TRAINED
from flmm.grounder.model_card import model_card, read_metrics
from flmm.grounder.stored_config import checked_part
from flmm.grounder.stored_types import NOT_STORED, model_types, to_sample_types
from flmm.json_files import brief
from flmm.models.sam import SegmentAnythingSam
from flmm.pretrained import HUB_NAME, MODEL_FILES

if TYPE_CHECKING:
    from flmm.grounder.pretrained import PretrainedGrounder


class SavedGrounder(ModelHubMixin):
    """A grounder as huggingface_hub's mixin writes it: by ``save_pretrained`` and ``push_to_hub``.

    It does not load one: the mixin would read config.json without checks, and call constructors with what is in it.

    Args:
        grounder: what to write.
        title: what the model card calls it.
        metrics: what was measured of it, or the path of that; see ``PretrainedGrounder.save_pretrained``.
        include_frozen: whether LMM, processor and SAM are written, too.

    Raises:
        ValueError: what the grounder was made from is not known, or not on the closed list
            (:mod:`flmm.grounder.stored_types`).
    """

    def __init__(
        self,
        *,
        grounder: 'PretrainedGrounder',
        title: str,
        metrics: str | Path | Mapping[str, Any] | None,
        include_frozen: bool,
    ) -> None:
        self.grounder, self.title, self.include_frozen = grounder, title, include_frozen
        self.metrics = read_metrics(metrics)
        self.document = self._document()

    def _document(self) -> dict[str, Any]:
        """Return what config.json says."""
        config, model = self.grounder.config, self.grounder.model
        if config is None:
            raise ValueError('the grounder was not made from a config, so it cannot be saved; use Grounder.from_config')
        parts = dict(config['model'])
        parts['lmm'] = {name: value for name, value in parts['lmm'].items() if name not in NOT_STORED}
        if self.include_frozen:
            if not isinstance(model.sam.model, SegmentAnythingSam):
                raise ValueError(
                    f'SAM is a {type(model.sam.model).__name__}, which is not included; leave include_frozen out, and '
                    'name it on the hub'
                )
            dtype = str(model.lmm.dtype).removeprefix('torch.')
            parts['lmm'] = {'type': 'pretrained_lmm', 'name_or_path': LMM, 'dtype': dtype}
        stored = {name: value for name, value in parts.items() if name not in NOT_STORED and value is not None}
        to_sample = {name: value for name, value in config['to_sample'].items() if name != 'concat'}
        try:
            return {
                'format_version': FORMAT_VERSION,
                'flmm_version': flmm.__version__,
                'model': checked_part(stored, model_types(), key='model', weights=self._weights_name),
                'to_sample': checked_part(to_sample, to_sample_types(), key='to_sample', weights=self._weights_name),
                'frozen_parts': model.frozen_parts(),
            }
        except ValueError as error:
            raise ValueError(f'the grounder cannot be saved: {error}') from error

    def _weights_name(self, value: Any, key: str) -> dict[str, Any]:
        """Name weights for others: what is on this machine only by the last part of its path."""
        if self.include_frozen:
            return {'folder': SAM if key.startswith('model.sam.') else LMM}
        if isinstance(value, Mapping):  # as another folder named it
            return {'elsewhere': Path(value['folder']).name} if 'folder' in value else dict(value)
        if not isinstance(value, str):
            raise ValueError(f'{key} is {brief(value)}, expected a name or path; or set include_frozen')
        if key.endswith('.checkpoint') or not HUB_NAME.fullmatch(value):
            return {'elsewhere': Path(value).name}
        # transformers does not keep the commit that it loaded; the cache has it as the last one of the main branch.
        cached = try_to_load_from_cache(value, MODEL_FILES[0])
        return {'hub': value, 'revision': Path(cached).parent.name if isinstance(cached, str) else None}

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write the weights, and config.json last: a folder that was not finished has none."""
        model = self.grounder.model
        trained = model.state_dict()
        if trained:
            # One entry alone: the order of several differs from run to run, and with it the hash of the file.
            metadata = {'frozen_parts': json.dumps(self.document['frozen_parts'])}
            with open_atomic(save_directory / TRAINED) as file:
                file.write(save(_small(trained), metadata=metadata))
        if self.include_frozen:
            lmm = model.lmm
            if _is_exact_in_half(lmm.state_dict()):
                lmm = copy.deepcopy(lmm).half()
            lmm.save_pretrained(save_directory / LMM)
            self.grounder.to_sample.image_processor.processor.save_pretrained(save_directory / LMM)
            with open_atomic(save_directory / SAM) as file:
                file.write(save(_small(model.sam.model.state_dict()), metadata={'format': 'pt'}))
        write_json(save_directory / CONFIG, self.document, indent=2)

    def generate_model_card(self) -> ModelCard:
        """Write the model card (:func:`flmm.grounder.model_card.model_card`)."""
        return model_card(title=self.title, document=self.document, metrics=self.metrics)


def _small(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as a file holds them, in float16 if that loses nothing of any."""
    half = _is_exact_in_half(tensors)
    return {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in tensors.items()
    }


def _is_exact_in_half(tensors: Mapping[str, Tensor]) -> bool:
    return all(
        tensor.dtype == torch.float32 and torch.equal(tensor.half().float(), tensor)
        for tensor in tensors.values()
        if tensor.is_floating_point()
    )
