"""Files of a folder of features: their names, and writing them so that no half of one is ever taken for the whole."""

import json
import uuid
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

IMAGES_PER_SHARD = 64
SHARD_ENDINGS = ('.safetensors', '.pictures.json', '.json')
"""The files of a shard, in the order in which they are written."""
UNFINISHED = '.unfinished'


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
    """Read a JSON document."""
    return json.loads(path.read_text(encoding='utf-8'))


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document, which is there as a whole or not at all."""
    unfinished = _unfinished(path)
    unfinished.write_text(json.dumps(document, indent=1), encoding='utf-8')
    unfinished.rename(path)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors, which are there as a whole or not at all."""
    unfinished = _unfinished(path)
    # Copies: samples of one image share tensors, which safetensors refuses.
    own = {name: tensor.cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    save_file(own, unfinished)
    unfinished.rename(path)


def open_tensors(path: Path) -> Any:
    """Open a file of safetensors, once as long as it is the same; its ``get_tensor(name)`` reads one."""
    return _opened(path, path.stat().st_mtime_ns)


def remove_unfinished(folder: Path) -> None:
    """Remove what interrupted writers have left; to be called when nobody writes any more."""
    for left in folder.glob(f'*{UNFINISHED}'):
        left.unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    """A name of its own for each writer: several processes may start the store."""
    return path.with_name(f'{path.name}.{uuid.uuid4().hex}{UNFINISHED}')


@lru_cache(maxsize=128)
def _opened(path: Path, written_ns: int) -> Any:
    return safe_open(path, framework='pt')
