"""What all files of annotations have in common: local and regular, mostly JSON, with entries that have ids."""

import json
import math
import reprlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flmm.files import open_regular

Id = int | str
COMPRESSED = {b'\x1f\x8b': 'gzip', b'PK\x03\x04': 'zip', b'BZh': 'bzip2', b'\xfd7zXZ': 'xz', b'7z\xbc\xaf': '7z'}
"""How compressed files begin, with which neither a pickle nor JSON does."""


def read_regular_file(path: str, *, setting: str) -> bytes:
    """Read a file of annotations.

    Args:
        path: A regular file, or a link to one. A FIFO would wait for ever, a device might never end.
        setting: The setting that names the file, such as 'ann_file', for messages.

    Raises:
        ValueError: the file does not exist, is none, cannot be read, or is compressed.
    """
    try:
        with open_regular(path) as file:
            content = file.read()
    except FileNotFoundError as error:
        raise ValueError(
            f'{setting} {path!r} does not exist; download the annotations there, or check data_root and {setting}'
        ) from error
    except OSError as error:
        raise ValueError(f'{setting} {path!r} cannot be read ({error}); check its permissions') from error
    except ValueError as error:
        raise ValueError(
            f'{setting} {path!r} is no regular file (a folder, FIFO or device); name the file itself'
        ) from error
    for start, kind in COMPRESSED.items():
        if content.startswith(start):
            raise ValueError(f'{setting} {path!r} is compressed ({kind}); unpack it')
    return content


def read_json(path: str, *, setting: str) -> Any:
    """Read a JSON file of annotations, more strictly than Python does where that loses or invents data.

    UTF-8, UTF-16 and UTF-32 are read, with byte order mark or without, and any line ends. Refused are an object that
    has a key twice, of which Python keeps the last, and NaN and Infinity, which are no JSON.

    Args:
        path: As for :func:`read_regular_file`.
        setting: The setting that names the file, such as 'ann_file', for messages.

    Raises:
        ValueError: the file cannot be read (:func:`read_regular_file`), or is not JSON: ``<setting> '<path>' is not
            JSON (<why>); <remedy>``.

    >>> read_json('data/coco/refcoco/instances.json', setting='ann_file').keys()
    dict_keys(['images', 'annotations', 'categories'])
    """
    content = read_regular_file(path, setting=setting)
    return _parse(_decode(content, where=f'{setting} {path!r}'), where=f'{setting} {path!r}')


def read_json_lines(path: str, *, setting: str) -> Iterator[tuple[str, Any]]:
    """Read a JSON lines file of annotations, each line as :func:`read_json` reads a file. Blank lines are skipped.

    Yields:
        What names line and file in messages, such as "line 3 of ann_file 'val.jsonl'", and the value of the line.

    Raises:
        ValueError: as :func:`read_json`; of what is not JSON, the line is named.
    """
    content = read_regular_file(path, setting=setting)
    text = _decode(content, where=f'{setting} {path!r}')
    for number, line in enumerate(text.split('\n'), start=1):  # splitlines() also splits strings, at U+2028
        if line.strip():
            where = f'line {number} of {setting} {path!r}'
            yield where, _parse(line, where=where)


def _decode(content: bytes, *, where: str) -> str:
    encoding = json.detect_encoding(content)
    try:
        return content.decode(encoding, 'surrogatepass').removeprefix('\ufeff')
    except ValueError as error:
        raise ValueError(f'{where} is not JSON ({error}); download it again, or save it as UTF-8') from error


def _parse(text: str, *, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except _RepeatedKeyError as error:
        raise ValueError(f'{where} {error}; JSON would keep the last alone, so remove one') from error
    except _ConstantError as error:
        raise ValueError(
            f'{where} is not JSON ({error} at {_path_of_constant(json.loads(text))}); mend that'
        ) from error
    except json.JSONDecodeError as error:
        start = f'; it begins with {reprlib.repr(text)}' if text.strip() and not text[: error.pos].strip() else ''
        why = f'{error}{start}' if text.strip() else 'it is empty'
        raise ValueError(f'{where} is not JSON ({why}); download it again') from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{where} is not JSON ({error}); download it again') from error


class _RepeatedKeyError(ValueError):
    """An object of a JSON file has a key twice."""


class _ConstantError(ValueError):
    """A JSON file has NaN or Infinity."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise _RepeatedKeyError(f'has an object with the key {repeated!r} twice ({reprlib.repr(found)})')
    return found


def _refuse_constant(name: str) -> None:
    raise _ConstantError(name)


def _path_of_constant(value: Any) -> str:
    """Find the first number that is not finite, such as ``annotations[3].area``."""
    places = [('', value)]
    while places:
        path, value = places.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return path.removeprefix('.') or 'its top'
        if isinstance(value, dict):
            places += [(f'{path}.{key}', child) for key, child in reversed(value.items())]
        elif isinstance(value, list):
            places += [(f'{path}[{index}]', value[index]) for index in reversed(range(len(value)))]
    raise AssertionError('there is no such number')


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
        near = [key for key in entry if isinstance(key, str) and key.casefold() in missing]
        hint = f'; it has {near}, and capitals count' if near else ''
        raise ValueError(f'{where} lacks {missing}{hint}; get the original file again')
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
