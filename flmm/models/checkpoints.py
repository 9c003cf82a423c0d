"""Checkpoints of the trainable part: read as plain data, and loaded over the frozen parts they were trained over."""

import logging
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from mmengine.runner.checkpoint import load_state_dict
from safetensors import SafetensorError, safe_open

from flmm.json_files import parse_json
from flmm.models.fingerprints import different_part
from flmm.unpickling import refusal_reason

if TYPE_CHECKING:
    from flmm.models.frozen_lmm import FrozenLMM

UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)
"""What the readers of plain data raise on bytes that ``torch.save`` and ``save_file`` did not write."""


def read_checkpoint(path: str | Path, *, map_location: str | Callable = 'cpu') -> dict[str, Any]:
    """Read a checkpoint without running anything that it holds.

    Args:
        path: a file, or what mmengine's file backends read (http://, s3://).
        map_location: where tensors go, as in ``torch.load``.

    Returns:
        What the file holds, with the weights under 'state_dict' even where it holds nothing else. Their names lack the
        'module.' of a distributed wrapper.

    Raises:
        ValueError: no such file, a damaged one, or one that holds more than tensors and plain values, or no weights.
    """
    checkpoint = read_plain_data(path, map_location=map_location)
    weights = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else checkpoint
    check_weights(weights, path)
    weights = {name.removeprefix('module.'): value for name, value in weights.items()}
    return {**checkpoint, 'state_dict': weights} if 'state_dict' in checkpoint else {'state_dict': weights}


def read_plain_data(path: str | Path, *, map_location: str | Callable = 'cpu') -> Any:
    """Read what ``torch.save`` wrote, tensors and plain values, without running anything that the file holds.

    A file that ends in .safetensors is read as the trained part of a saved grounder.

    Arguments are those of :func:`read_checkpoint`.

    Raises:
        ValueError: no such file, a damaged one, or one that holds more.
    """
    path = existing_checkpoint(path)
    try:
        with get_local_path(path) as local:
            if path.endswith('.safetensors'):
                return _read_safetensors(local)
            return torch.load(local, map_location=map_location, weights_only=True)
    except UNREADABLE as error:
        raise ValueError(
            f'checkpoint {str(path)!r} cannot be read as plain data: it is damaged, or holds more '
            f'({refusal_reason(error)})'
        ) from error


def _read_safetensors(path: str) -> dict[str, Any]:
    """Read the trained part of a grounder, and of its metadata what it was trained over."""
    with safe_open(path, framework='pt') as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        frozen_parts = (file.metadata() or {}).get('frozen_parts')
    if frozen_parts is None:
        return {'state_dict': weights}
    parts = parse_json(frozen_parts.encode(), where='its frozen_parts')
    if not isinstance(parts, dict) or not all(isinstance(value, str) for value in parts.values()):
        raise ValueError(f'its frozen_parts are {frozen_parts}, expected an object of texts')
    return {'state_dict': weights, 'meta': {'frozen_parts': parts}}


def existing_checkpoint(path: str | Path) -> str:
    """Return the path of a checkpoint, with ``~`` written out. What is remote, such as s3://, is returned as it is.

    Raises:
        ValueError: no such file.
    """
    if '://' in str(path):
        return str(path)
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(
            f'checkpoint {str(path)!r} '
            f'{"is a folder, not a file" if path.is_dir() else "is no file" if path.exists() else "does not exist"}'
        )
    return str(path)


def check_weights(weights: Any, path: str | Path) -> None:
    """Refuse what is no dict of named, dense tensors of finite numbers.

    Raises:
        ValueError: naming the file and the first entry that is none.
    """
    if not isinstance(weights, dict):
        raise ValueError(f'checkpoint {str(path)!r} holds a {type(weights).__name__}, expected a dict of weights')
    for name, value in weights.items():
        if not isinstance(name, str):
            raise ValueError(f'checkpoint {str(path)!r}: {name!r} is no name of a tensor')
        if not isinstance(value, torch.Tensor):
            raise ValueError(f'checkpoint {str(path)!r}: {name!r} is a {type(value).__name__}, expected a tensor')
        # torch and mmengine would leave the model's own numbers where these cannot be copied, and log it at most
        if value.layout != torch.strided or value.is_meta:
            raise ValueError(
                f'checkpoint {str(path)!r}: {name!r} is a tensor of another kind ({value.layout}, device '
                f'{value.device.type}), expected a dense one with its numbers'
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(
                f'checkpoint {str(path)!r}: {name!r} has numbers that are not finite; take an earlier checkpoint'
            )


def load_trained(model: 'FrozenLMM', path: str | Path) -> None:
    """Load the trainable part, as tools/train.py writes it, into ``model``.

    Raises:
        ValueError: the file cannot be read, does not fit the model, or was trained over other frozen parts.
    """
    checkpoint = read_checkpoint(path)
    check_frozen_parts(model, checkpoint)
    load_state_dict(model, checkpoint['state_dict'])


def check_frozen_parts(model: 'FrozenLMM', checkpoint: dict[str, Any]) -> None:
    """Refuse weights that were trained over another LMM, another SAM, or other attention heads: they would fit.

    Where the checkpoint does not say what it was trained over, as one of bare weights, the log says that. A model
    whose LMM has no weights takes the checkpoint's word, and refuses features of another one from then on.

    Raises:
        ValueError: naming what differs.
    """
    stored = (checkpoint.get('meta') or {}).get('frozen_parts')
    if stored is None:
        print_log(
            'the checkpoint does not say over which LMM it was trained, so that was not compared',
            logger='current',
            level=logging.WARNING,
        )
        return
    own = model.frozen_parts()
    name = different_part(stored, own)
    if name is not None:
        raise ValueError(
            f'the checkpoint was trained over another {name} ({stored[name]}) than the model has ({own[name]}); build '
            "the model with the checkpoint's own, or, to train or test a combination on purpose, set "
            'default_hooks.frozen_parts.allow_other=True'
        )
    model.stand_for(stored)
