"""What all files of annotations have in common: entries that have ids."""

import reprlib
from collections.abc import Callable, Iterable
from typing import Any

from flmm.json_files import brief

Id = int | str
ID_FORM = 'an integer or a string (of at most 64 bits, or 200 characters)'
"""What an id is, for messages."""


def is_id(value: Any) -> bool:
    """Return whether a value can be an id (:data:`ID_FORM`): 1.0 and True cannot, since Python takes them for 1."""
    if isinstance(value, str):
        return len(value) <= 200
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def is_length(value: Any) -> bool:
    """Return whether a value can be a height or width in px: an integer above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


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
        near = [key for key in entry if isinstance(key, str) and key.casefold() in missing]
        hint = f'; it has {near}, and capitals count' if near else ''
        raise ValueError(f'{where} lacks {missing}{hint}; add what is missing, or get the original file again')
    for key in keys:
        if (key == 'id' or key.endswith('_id')) and not is_id(entry[key]):
            raise ValueError(f'{where} has {key} {reprlib.repr(entry[key])}, expected {ID_FORM}')


def check_split(split: str, found: Iterable[str], *, where: str) -> None:
    """Check that no entry is missed for the way in which its split is written, such as 'Val' where 'val' is asked for.

    Args:
        split: The one that is asked for.
        found: Those of all entries.
        where: Names the file, for messages.

    Raises:
        ValueError: another one differs from it in capitals or blanks alone.
    """
    for other in sorted(set(found) - {split}):
        if other.strip().casefold() == split.strip().casefold():
            raise ValueError(f'{where} has the split {other!r} beside {split!r}, which is asked for; write both alike')


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


def entries_by_id(content: dict, name: str, *, key: str, about: str, where: str) -> dict[Id, dict]:
    """Return one of the lists of a file in COCO's layout by id.

    Args:
        content: Of the whole file.
        name: Of the list, such as 'images'.
        key: Under which each entry has its id.
        about: Another key, whose value messages say of an entry.
        where: Names the file, for messages.

    Raises:
        ValueError: it is no list of dicts with ids, or :func:`by_id` refuses them.
    """
    entries, where = content[name], f'{name!r} of {where}'
    if not isinstance(entries, list):
        raise ValueError(f'{where} is {brief(entries)}, expected a list of dicts')
    for index, entry in enumerate(entries):
        check_entry(entry, keys=[key], where=f'entry {index} of {where}')
    return by_id(entries, key=key, where=where, describe=lambda entry: f'{about} {entry.get(about)!r}')
