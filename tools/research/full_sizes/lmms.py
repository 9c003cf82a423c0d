"""Published LMMs by the names of configs/_base_/lmms: config, image processor, and the LMM with random weights."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from flmm.families import FAMILIES
from flmm.models.published_lmms import published_config
from flmm.pretrained import lmm_from_config
from flmm.registry import TRANSFORMS
from full_sizes.processors import published_processor

BASE = Path(__file__).parents[3] / 'configs' / '_base_'
STD = 0.02


@dataclass(frozen=True, kw_only=True)
class PublishedLMM:
    """A published LMM with a tokenizer of bytes.

    Args:
        checkpoint: its name on the hub.
        config: of published sizes; the image token is the tokenizer's.
        image_processor: config of the wrapper, with the settings of the config file.
    """

    checkpoint: str
    config: PreTrainedConfig
    image_processor: dict[str, Any]

    @property
    def prunes(self) -> bool:
        """Whether its image processor can prune image tokens."""
        wrapper = TRANSFORMS.get(self.image_processor['type'])
        return 'patch_selection_method' in inspect.signature(wrapper.__init__).parameters


def published_lmm(name: str, *, layers: int | None = None) -> PublishedLMM:
    """Read a file of configs/_base_/lmms and replace what would be downloaded.

    Args:
        name: of the file.
        layers: at most so many layers of text and of each vision tower; None for all.
    """
    settings = Config.fromfile(BASE / 'lmms' / f'{name}.py')
    checkpoint = settings.lmm.name_or_path
    model_type = published_config(checkpoint).model_type
    processor = published_processor(model_type)
    own = {'type': registered(model_type, 'image_processor'), 'pretrained_model_name_or_path': processor}
    return PublishedLMM(
        checkpoint=checkpoint,
        config=published_config(checkpoint, image_token_id=processor.image_token_id, depth=layers),
        image_processor=settings.image_processor.to_dict() | own,
    )


def registered(model_type: str, role: str) -> str:
    """Name the class of a family for the registries, whatever the scope; ``role`` is 'model' or 'image_processor'."""
    return f'flmm.{getattr(FAMILIES[model_type], role).rpartition(".")[2]}'


@torch.no_grad()
def random_lmm(config: PreTrainedConfig, *, device: torch.device | str = 'cpu') -> PreTrainedModel:
    """Build the LMM of a config in bfloat16, fast and in no more memory than its weights take.

    Matrices are normal with a deviation of 0.02, biases 0, and what else has one dimension, such as norms, 1.
    """
    # transformers would fill every weight twice: as torch does, and then its own way.
    with torch.device(device), no_init_weights():
        lmm = lmm_from_config(config, dtype=torch.bfloat16)
    lmm.tie_weights()
    for name, parameter in lmm.named_parameters():
        if parameter.dim() > 1:
            parameter.normal_(std=STD)
        else:
            parameter.fill_(0 if name.endswith('bias') else 1)
    return lmm.eval()
