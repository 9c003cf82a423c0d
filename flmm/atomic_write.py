"""Files that are there as a whole or not at all, wherever their writer is interrupted; all output is written here."""

import json
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

UNFINISHED = '.unfinished'
"""How the names of temporary files end; what lies behind a crash can be found, and removed, by it."""


@contextmanager
def open_atomic(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file to write its bytes; what was at ``path`` stays as it was until all of them are on the disk.

    They go to a temporary file in the same folder, are flushed (``fsync``), and take the name in one step
    (``rename(2)``). A link stays a link: what it leads to is replaced. A device or FIFO is written to as it is.

    Raises:
        OSError: it cannot be written, such as on a full disk. The temporary file is removed.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        with path.open('wb') as file:
            yield file
        return
    unfinished = path.with_name(f'{path.name}.{uuid.uuid4().hex}{UNFINISHED}')
    try:
        with unfinished.open('xb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        reason = f'{error.strerror or error}; nothing was written, what was there before is untouched'
        raise OSError(error.errno, reason, str(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text in UTF-8, with its line ends as they are, by :func:`open_atomic`."""
    with open_atomic(path) as file:
        file.write(text.encode())


def write_json(path: str | os.PathLike, document: Any, *, indent: int | None = 1) -> None:
    """Write a JSON document and a line end, by :func:`open_atomic`.

    Raises:
        OSError: it cannot be written.
        ValueError: a value is not finite, which JSON has no word for; nothing is written.
    """
    write_text(path, json.dumps(document, indent=indent, allow_nan=False) + '\n')


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Remove what killed writers have left in a folder; to be called when nobody writes there."""
    for left in Path(folder).glob(f'*{UNFINISHED}'):
        left.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Let the new name outlive a power failure, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
