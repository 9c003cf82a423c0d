"""Files of a folder of features: their names, reading and writing them."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from flmm.atomic_write import open_atomic

IMAGES_PER_SHARD = 64
SHARD_ENDINGS = ('.safetensors', '.pictures.json', '.json')
"""The files of a shard, in the order in which they are written."""


def shard_file(folder: Path, shard: int, ending: str) -> Path:
    """Return the path of one of ``SHARD_ENDINGS`` of a shard."""
    return folder / f'shard_{shard:05d}{ending}'


def missing_shards(folder: Path, num_shards: int) -> list[int]:
    """Return the numbers of the shards that lack a file."""
    return [
        shard
        for shard in range(num_shards)
        if not all(shard_file(folder, shard, ending).exists() for ending in SHARD_ENDINGS)
    ]


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise _damaged(path, error) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors."""
    # Copies: samples of one image share tensors, which safetensors refuses.
    own = {name: tensor.cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    with open_atomic(path) as file:
        file.write(save(own))


def read_tensor(path: Path, name: str) -> Tensor:
    """Read a tensor from a file of safetensors, which is opened once as long as it is the same.

    Raises:
        ValueError: the file is damaged, or has no such tensor.
    """
    try:
        return _opened(path, path.stat().st_mtime_ns).get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


@lru_cache(maxsize=128)
def _opened(path: Path, written_ns: int) -> Any:
    return safe_open(path, framework='pt')


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f'features in {str(path)!r} are damaged ({error}); delete this file, and run tools/cache_features.py again, '
        'which makes its shard anew'
    )
