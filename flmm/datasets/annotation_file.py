"""What the refs and the instances of RefCOCO have in common: local files whose entries have ids."""

import reprlib
from collections.abc import Callable, Iterable
from typing import Any

from flmm.files import open_regular

Id = int | str


def read_regular_file(path: str, *, setting: str) -> bytes:
    """Read a file of annotations.

    Args:
        path: A regular file, or a link to one. A FIFO would wait for ever, a device might never end.
        setting: The setting that names the file, such as 'ann_file', for messages.

    Raises:
        ValueError: the file does not exist, is none, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            return file.read()
    except FileNotFoundError as error:
        raise ValueError(f'{setting} {path!r} does not exist; download the RefCOCO annotations there') from error
    except OSError as error:
        raise ValueError(f'{setting} {path!r} cannot be read ({error}); check its permissions') from error
    except ValueError as error:
        raise ValueError(
            f'{setting} {path!r} is no regular file (a folder, FIFO or device); name the file itself'
        ) from error


def is_id(value: Any) -> bool:
    """Return whether a value can be an id: 1.0 and True are no ids, since Python takes them for 1."""
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def check_entry(entry: Any, *, keys: Iterable[str], where: str) -> None:
    """Check that an entry is a dict with these keys, whose ids are ids.

    Args:
        entry: What a list in a file of annotations holds.
        keys: Those that the entry must have; a key that is 'id' or ends in '_id' holds an id.
        where: Names file and entry, for messages.

    Raises:
        ValueError: it is no dict, lacks a key, or has an id that is neither integer nor string.
    """
    if not isinstance(entry, dict):
        raise ValueError(f'{where} is {reprlib.repr(entry)}, expected a dict')
    missing = sorted(set(keys) - entry.keys())
    if missing:
        raise ValueError(f'{where} lacks {missing}; get the original file again')
    for key in keys:
        if (key == 'id' or key.endswith('_id')) and not is_id(entry[key]):
            raise ValueError(f'{where} has {key} {reprlib.repr(entry[key])}, expected an integer or a string')


def by_id(entries: list[dict], *, key: str, where: str, describe: Callable[[dict], str]) -> dict[Id, dict]:
    """Return the entries by id.

    Args:
        entries: Checked by :func:`check_entry`.
        key: Under which each entry has its id.
        where: Names file and list, for messages.
        describe: What messages say of an entry.

    Raises:
        ValueError: two entries have one id, or 1 and '1', which a reader would take for one. The message names both.
    """
    found: dict[str, tuple[int, dict]] = {}
    for index, entry in enumerate(entries):
        first, other = found.setdefault(str(entry[key]), (index, entry))
        if first != index:
            ids = repr(entry[key]) if type(entry[key]) is type(other[key]) else f'{other[key]!r} and {entry[key]!r}'
            raise ValueError(
                f'{where} has {key} {ids} twice: entry {first} ({describe(other)}) and entry {index} '
                f'({describe(entry)}); give each an id of its own, as files that are merged need'
            )
    return {entry[key]: entry for entry in entries}
