"""Files that others name: kept inside a folder, read only if they are regular files, written where that is possible."""

import os
import reprlib
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

LONGEST_PATH = 4096


def path_inside(root: str | os.PathLike, name: str, *, allow_outside: bool = False) -> Path:
    """Join ``root`` and a ``name`` that comes from a file of annotations.

    Args:
        root: folder; may itself be a link.
        name: path below ``root``. The file need not exist.
        allow_outside: whether ``name`` may lead out of ``root``: by an absolute path or an address (``s3://``), by
            '..', or through a link.

    Raises:
        ValueError: the name is no text, empty or too long, holds a NUL or a lone surrogate, or leads out of ``root``.
    """
    check_file_name(name, allow_outside=allow_outside)
    path = Path(root, name)
    if not allow_outside:
        try:
            inside = path.resolve().is_relative_to(Path(root).resolve())
        except (OSError, RuntimeError) as error:  # links in a circle; RuntimeError before Python 3.13
            raise ValueError(f'path {name!r} in {str(root)!r} cannot be followed ({error})') from error
        if not inside:
            raise ValueError(f'path {name!r} leads out of {str(root)!r} through a link; set allow_outside to read it')
    return path


def path_below(prefix: str, name: str, *, allow_outside: bool = False) -> str:
    """Join as :func:`path_inside` does where ``prefix`` may also be remote, such as 's3://bucket/images'."""
    if '://' in prefix:
        check_file_name(name, allow_outside=allow_outside)
    else:
        path_inside(prefix, name, allow_outside=allow_outside)
    return os.path.join(prefix, name)  # begins as the setting was written: stored features know pictures by that


def check_file_name(name: str, *, allow_outside: bool = False) -> None:
    """Refuse names that lead out of any folder, as :func:`path_inside` does; looks at no file.

    Raises:
        ValueError: the name is no text, empty or too long, holds a NUL or a lone surrogate, is absolute or an address,
            or has '..'.
    """
    if not isinstance(name, str) or not name.strip() or '\0' in name:
        raise ValueError(f'path {name!r} is no name of a file')
    if len(name) > LONGEST_PATH:
        raise ValueError(f'path {reprlib.repr(name)} is longer than the {LONGEST_PATH} characters that a path can have')
    try:
        os.fsencode(name)  # by which names of files that are no Unicode pass
    except UnicodeEncodeError as error:
        raise ValueError(f'path {name!r} holds the lone surrogate {name[error.start]!r}, as no file does') from error
    if not allow_outside and '://' in name:  # which mmengine would fetch from there, where the folder is ''
        raise ValueError(f'path {name!r} is an address, expected a path below its folder; set allow_outside to read it')
    absolute = PurePosixPath(name).is_absolute() or bool(PureWindowsPath(name).drive)
    if not allow_outside and (absolute or '..' in PureWindowsPath(name).parts):  # parts: by slash and backslash
        raise ValueError(
            f'path {name!r} is absolute or goes up by "..", expected one below its folder; set allow_outside to read it'
        )


def prepare_output(path: str | os.PathLike, *, setting: str) -> Path:
    """Make the folder of a file that is to be written, before work that would be lost if the file could not be.

    Args:
        path: The file that will be written; it may be there already and is not touched.
        setting: The setting that names the file, such as '--json', for messages.

    Raises:
        ValueError: the folder cannot be made, or no file can be written there.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f'{setting} is {str(path)!r}, and its folder cannot be made ({error})') from error
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f'{setting} is {str(path)!r}, where no file can be written; choose another')
    return path


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Open a regular file to read its bytes; never waits, as a FIFO would let it.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: it cannot be opened.
        ValueError: a folder, FIFO, device or socket.
    """
    _check_regular(os.stat(path).st_mode, path)  # before opening, which has effects on devices
    file = open(path, 'rb', opener=lambda name, flags: os.open(name, flags | getattr(os, 'O_NONBLOCK', 0)))  # noqa: SIM115
    try:
        _check_regular(os.fstat(file.fileno()).st_mode, path)
    except ValueError:
        file.close()
        raise
    return file


def _check_regular(mode: int, path: str | os.PathLike) -> None:
    if not stat.S_ISREG(mode):
        kinds = (
            (stat.S_ISDIR, 'Is a directory'),
            (stat.S_ISFIFO, 'a FIFO'),
            (stat.S_ISSOCK, 'a socket'),
            (stat.S_ISCHR, 'a device'),
            (stat.S_ISBLK, 'a device'),
        )
        kind = next((word for matches, word in kinds if matches(mode)), 'something else')
        raise ValueError(f'{str(path)!r} is no regular file: {kind}')
