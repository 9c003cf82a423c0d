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
WEIGHTS = ('.bin', '.pt', '.pth', '.safetensors')
SUFFIXES = (*WEIGHTS, '.jinja', '.json', '.model', '.spm', '.tiktoken', '.txt')
"""What transformers reads in the folder of a checkpoint: weights, settings, tokenizer and chat templates."""
BLOCK, NUM_BLOCKS = 64 * 1024, 256


def fingerprint(name_or_path: str | Path) -> str:
    """Hash a file, or the weights and settings in a folder, with the names that they have below it.

    Every file is read whole but weights (``WEIGHTS``) of over 16 MiB: of these 256 blocks of 64 KiB, evenly spread,
    and the size. :func:`large_weights` lists them. Hidden files count for nothing, nor do subfolders ``checkpoint-*``,
    in which transformers' Trainer keeps other states of a model.

    Args:
        name_or_path: a file, a folder, or a name on the hub whose files are in the local cache.

    Raises:
        ValueError: it is not on this machine.
    """
    digest = hashlib.sha256()
    for name, file in _files(name_or_path).items():
        size = file.stat().st_size
        digest.update(f'{name} {size}\n'.encode())
        with file.open('rb') as stream:
            for start in _block_starts(size) if _is_large(file) else range(0, size, BLOCK):
                stream.seek(start)
                digest.update(stream.read(BLOCK))
    return digest.hexdigest()[:16]


def large_weights(name_or_path: str | Path) -> dict[str, Path]:
    """Find the files that :func:`fingerprint` reads in part, by their names below the folder."""
    return {name: file for name, file in _files(name_or_path).items() if _is_large(file)}


def frozen_part(model: Mapping[str, Any]) -> dict[str, Any]:
    """Of a config of the model what its features depend on: all but what is trained or is about training."""
    frozen = {key: value for key, value in model.items() if key not in NOT_FROZEN}
    return {**frozen, 'sam': model['sam']['sam']}


def first_difference(first: Any, second: Any, *, path: str = '') -> str | None:
    """Describe where two JSON documents differ first, as 'key.key (one, not other)'; None where they do not.

    Keys are compared in the order of ``first``.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        for key in dict.fromkeys([*first, *second]):
            below = f'{path}.{key}' if path else str(key)
            found = first_difference(first.get(key), second.get(key), path=below)
            if found:
                return found
        return None
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return first_difference(dict(enumerate(first)), dict(enumerate(second)), path=path)
    return None if first == second else f'{path} ({first!r}, not {second!r})'.strip()


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


def _files(name_or_path: str | Path) -> dict[str, Path]:
    path = Path(name_or_path)
    if path.is_file():
        return {'': path}  # a file's own name is where it lies
    if not path.is_dir():
        try:
            path = Path(snapshot_download(str(name_or_path), local_files_only=True))
        except (LocalEntryNotFoundError, HFValidationError) as error:
            raise ValueError(
                f'{str(name_or_path)!r} is neither a file, nor a folder, nor a downloaded checkpoint of the hub'
            ) from error
    names = sorted(file.relative_to(path) for file in path.rglob('*') if file.suffix in SUFFIXES and file.is_file())
    skipped = ('.', 'checkpoint-')
    return {str(name): path / name for name in names if not any(part.startswith(skipped) for part in name.parts)}


def _is_large(file: Path) -> bool:
    return file.suffix in WEIGHTS and file.stat().st_size > BLOCK * NUM_BLOCKS
