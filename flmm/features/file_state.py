"""Whether a file is still the one it was: cheaply by its size and time stamp, for certain by its content."""

import hashlib
import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine import fileio

CHUNK = 2**20
NUM_THREADS = 16
"""Network file systems take milliseconds for an answer, but give many at a time; hashing needs no lock of Python's."""


@dataclass(frozen=True, kw_only=True)
class FileState:
    """What is kept of a file, to be compared later.

    Args:
        size: number of bytes.
        mtime_ns: when it was written, in ns since 1970; None for a remote file, which has no time stamp.
        sha256: the hexadecimal digest of its content.
    """

    size: int
    mtime_ns: int | None
    sha256: str

    @classmethod
    def read(cls, path: str, *, backend_args: dict | None = None) -> 'FileState':
        """Read a file and its state.

        Args:
            path: a local file, or what mmengine's fileio reads, such as 's3://bucket/1.jpg'.
            backend_args: file backend arguments of mmengine.

        Raises:
            ValueError: it does not exist, cannot be read, or is no regular file.
        """
        try:
            if is_remote(path, backend_args):
                content = fileio.get(path, backend_args=backend_args)
                return cls(size=len(content), mtime_ns=None, sha256=hashlib.sha256(content).hexdigest())
            status = os.stat(path)  # before the content: what is written meanwhile has another time stamp
            if stat.S_ISREG(status.st_mode):
                return cls(size=status.st_size, mtime_ns=status.st_mtime_ns, sha256=sha256_of(path))
        except FileNotFoundError as error:
            raise ValueError(f'{str(path)!r} does not exist; check data_root and data_prefix') from error
        except OSError as error:
            raise ValueError(f'{str(path)!r} cannot be read ({error}); check data_root and data_prefix') from error
        raise ValueError(f'{str(path)!r} is no regular file; check data_root and data_prefix')


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What has become of files.

    Args:
        changed: what differs, by path.
        absent: why a file cannot be compared, by path.
    """

    changed: dict[str, str]
    absent: dict[str, str]


def compare_files(
    files: Iterable[tuple[str, FileState]], *, content: bool = False, backend_args: dict | None = None
) -> Comparison:
    """Compare files with their states of old.

    A local file whose size and time stamp are the same is the same; one of another time stamp is read, since copies
    have other time stamps. Remote files are compared by content only.

    Args:
        files: paths and states.
        content: True reads every file.
        backend_args: file backend arguments of mmengine.
    """

    def problem(file: tuple[str, FileState]) -> tuple[str | None, str | None]:
        path, old = file
        try:
            return _change(path, old, content=content, backend_args=backend_args), None
        except FileNotFoundError:
            return None, 'does not exist'
        except OSError as error:
            return None, f'cannot be read ({error})'

    files = list(files)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        found = list(zip(files, pool.map(problem, files), strict=True))
    return Comparison(
        changed={path: change for (path, _), (change, _) in found if change},
        absent={path: reason for (path, _), (_, reason) in found if reason},
    )


def is_remote(path: str, backend_args: dict | None) -> bool:
    """Whether mmengine's fileio reads a path from elsewhere than the local file system."""
    return '://' in str(path) or (backend_args or {}).get('backend', 'local') != 'local'


def sha256_of(path: str | Path) -> str:
    """Hash the content of a local file, of any size."""
    digest = hashlib.sha256()
    with open(path, 'rb') as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _change(path: str, old: FileState, *, content: bool, backend_args: dict[str, Any] | None) -> str | None:
    if is_remote(path, backend_args):
        same = not content or hashlib.sha256(fileio.get(path, backend_args=backend_args)).hexdigest() == old.sha256
    else:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a FIFO would be waited for
            return 'is no regular file'
        if status.st_size != old.size:
            return f'has {status.st_size} bytes, not {old.size}'
        same = (not content and status.st_mtime_ns == old.mtime_ns) or sha256_of(path) == old.sha256
    return None if same else 'has another content of the same size'
