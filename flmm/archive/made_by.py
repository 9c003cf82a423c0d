"""What the rows of an archive depend on beside their input: model, processor, settings, versions."""

import hashlib
import json
from typing import Any

import torch
import transformers

import flmm
from flmm.features.fingerprint import fingerprint
from flmm.features.settings import without_places
from flmm.grounder import Grounder
from flmm.grounder.stored_types import NOT_STORED

SPEED_ALONE = (*NOT_STORED, 'decode_budget')
"""Settings of a model that masks do not depend on, but for rounding."""


def made_by(grounder: Grounder) -> dict[str, Any]:
    """Describe a grounder, JSON-ready, so that another one has another description, wherever it lies.

    Raises:
        ValueError: what the grounder was made from is not known, or a checkpoint of it is not on this machine.
    """
    if grounder.config is None:
        raise ValueError('the grounder was not made from a config; use Grounder.from_config or from_pretrained')
    model = {key: value for key, value in grounder.config['model'].items() if key not in SPEED_ALONE}
    files: dict[str, str] = {}
    settings = {
        part: without_places(config, key=part, files=files)
        for part, config in (('model', model), ('to_sample', grounder.config['to_sample']))
    }
    return json.loads(
        json.dumps(
            {
                'versions': {'flmm': flmm.__version__, 'transformers': transformers.__version__},
                **settings,
                'files': {key: fingerprint(place) for key, place in files.items()},
                'frozen_parts': grounder.model.frozen_parts(),
                'trained_part': _hash(grounder.model.state_dict()),
            },
            default=str,
        )
    )


def short(document: dict[str, Any]) -> str:
    """Hash a description: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def _hash(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f'{name} {plain.dtype} {tuple(plain.shape)}\n'.encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
