"""What features depend on, and what tells one checkpoint from another without reading all of its gigabytes."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

CHECKPOINT_KEYS = ('name_or_path', 'pretrained_model_name_or_path', 'checkpoint')
"""Keys of a config whose values name a checkpoint."""
NOT_FROZEN = ('mask_head', 'loss_mask', 'loss_dice', 'data_preprocessor', 'compiled')
SUFFIXES = ('.bin', '.jinja', '.json', '.pth', '.safetensors', '.txt')
BLOCK, NUM_BLOCKS = 64 * 1024, 256


def fingerprint(name_or_path: str) -> str:
    """Hash a file, or the weights and settings in a folder.

    Files of up to 16 MiB are read whole; of a larger one 256 blocks of 64 KiB, evenly spread, and its size.

    Args:
        name_or_path: a file, a folder, or a name on the hub whose files are in the local cache.

    Raises:
        ValueError: it is not on this machine.
    """
    path = Path(name_or_path)
    if path.is_file():
        files = [path]
    else:
        if not path.is_dir():
            try:
                path = Path(snapshot_download(str(name_or_path), local_files_only=True))
            except (LocalEntryNotFoundError, HFValidationError) as error:
                raise ValueError(
                    f'{name_or_path!r} is neither a file, nor a folder, nor a downloaded checkpoint of the hub'
                ) from error
        files = sorted(file for file in path.iterdir() if file.is_file() and file.suffix in SUFFIXES)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f'{file.name} {file.stat().st_size}\n'.encode())
        with file.open('rb') as stream:
            for start in _block_starts(file.stat().st_size):
                stream.seek(start)
                digest.update(stream.read(BLOCK))
    return digest.hexdigest()[:16]


def frozen_part(model: Mapping[str, Any]) -> dict[str, Any]:
    """Of a config of the model what its features depend on: all but what is trained or is about training."""
    frozen = {key: value for key, value in model.items() if key not in NOT_FROZEN}
    return {**frozen, 'sam': model['sam']['sam']}


def first_difference(first: Any, second: Any, *, path: str = '') -> str | None:
    """Describe where two JSON documents differ first, as 'key.key (one, not other)'; None where they do not."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(first.keys() | second.keys()):
            below = f'{path}.{key}' if path else str(key)
            found = first_difference(first.get(key), second.get(key), path=below)
            if found:
                return found
        return None
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return first_difference(dict(enumerate(first)), dict(enumerate(second)), path=path)
    return None if first == second else f'{path} ({first!r}, not {second!r})'.strip()


def checkpoints_in(config: Any) -> Iterator[str]:
    """Find every checkpoint that a config names, in order."""
    for mapping in mappings_in(config):
        yield from (value for key, value in mapping.items() if key in CHECKPOINT_KEYS and isinstance(value, str))


def mappings_in(config: Any) -> Iterator[Mapping[str, Any]]:
    """Go through a config and all that are nested in it, outer before inner."""
    if isinstance(config, Mapping):
        yield config
        config = list(config.values())
    if isinstance(config, Sequence) and not isinstance(config, str):
        for value in config:
            yield from mappings_in(value)


def _block_starts(size: int) -> Iterator[int]:
    blocks = -(-size // BLOCK)
    chosen = min(blocks, NUM_BLOCKS)
    for i in range(chosen):
        yield i * (blocks - 1) // max(chosen - 1, 1) * BLOCK
