"""What tells one checkpoint or file from another, without reading all of its gigabytes."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

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
