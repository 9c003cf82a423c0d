"""What the rows of an archive depend on beside their input: model, processor, settings, versions."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
import transformers

import flmm
from flmm.config import CHECKPOINT_KEYS
from flmm.grounder import Grounder
from flmm.grounder.stored_types import NOT_STORED

SPEED_ALONE = (*NOT_STORED, 'decode_budget')
"""Settings of a model and its parts that masks do not depend on, but for rounding."""


def made_by(grounder: Grounder) -> dict[str, Any]:
    """Describe a grounder, JSON-ready, so that another one has another description, wherever it lies.

    Weights and tokenizer are compared as they were loaded, not by the places that a config names: those of the trained
    part whole, those of LMM and SAM by the fingerprints of stored features, which sample the values of each tensor
    (:func:`flmm.features.fingerprint.weights_fingerprint`).

    Raises:
        ValueError: what the grounder was made from is not known.
    """
    if grounder.config is None:
        raise ValueError('the grounder was not made from a config; use Grounder.from_config or from_pretrained')
    processor = grounder.to_sample.image_processor.processor
    described = {
        'versions': {'flmm': flmm.__version__, 'transformers': transformers.__version__},
        'model': _essential(grounder.config['model']),
        'to_sample': _essential(grounder.config['to_sample']),
        'frozen_parts': grounder.model.frozen_parts(),
        'trained_part': _hash_of_tensors(grounder.model.state_dict()),
        'tokenizer': _hash_of_text(processor.tokenizer.backend_tokenizer.to_str(), str(processor.chat_template)),
        'image_processor': _hash_of_text(json.dumps(processor.image_processor.to_dict(), sort_keys=True, default=str)),
    }
    return json.loads(json.dumps(described, default=str))  # tuples as the lists that JSON gives back


def short(document: dict[str, Any]) -> str:
    """Hash a description: 16 hexadecimal digits."""
    return _hash_of_text(json.dumps(document, sort_keys=True))


def _essential(config: Any) -> Any:
    """Return a config without places and :data:`SPEED_ALONE`, which the LMM's config has, too (``device_map``)."""
    if isinstance(config, Mapping):
        left_out = {*CHECKPOINT_KEYS, *SPEED_ALONE}
        return {key: _essential(value) for key, value in config.items() if key not in left_out}
    return [_essential(value) for value in config] if isinstance(config, (list, tuple)) else config


def _hash_of_text(*texts: str) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def _hash_of_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f'{name} {plain.dtype} {tuple(plain.shape)}\n'.encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
