"""JSON and JSON lines of others, read without trust: whatever is wrong is an error that names file and line."""

import json
import math
import reprlib
from collections.abc import Iterator
from typing import Any, NoReturn

from flmm.files import open_regular

COMPRESSED = {b'\x1f\x8b': 'gzip', b'PK\x03\x04': 'zip', b'BZh': 'bzip2', b'\xfd7zXZ': 'xz', b'7z\xbc\xaf': '7z'}
"""How compressed files begin, with which neither a pickle nor JSON does."""


_brief = reprlib.Repr()
_brief.maxlevel = 2


def brief(value: Any) -> str:
    """Return a value as a message shows it, of what is nested or long the beginning.

    >>> brief({'images': [{'id': 1}]})
    "{'images': [{...}]}"
    """
    return _brief.repr(value)


def read_regular_file(path: str, *, setting: str) -> bytes:
    """Read a file whole.

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
            f'{setting} {path!r} does not exist; put it there, or check the name (and data_root, where there is one)'
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


def read_json(path: str, *, setting: str, legacy_encoding: str | None = None) -> Any:
    """Read a JSON file, more strictly than Python does where that loses or invents data.

    UTF-8, UTF-16 and UTF-32 are read, with byte order mark or without, and any line ends. Refused are an object that
    has a key twice, of which Python keeps the last, and NaN and Infinity, which are no JSON.

    Args:
        path: As for :func:`read_regular_file`.
        setting: The setting that names the file, such as 'ann_file', for messages.
        legacy_encoding: What a file that is no Unicode is read as, such as 'cp1252'; None refuses it.

    Raises:
        ValueError: the file cannot be read (:func:`read_regular_file`), or is not JSON: ``<setting> '<path>' is not
            JSON (<why>); <remedy>``.

    >>> read_json('data/coco/refcoco/instances.json', setting='ann_file').keys()
    dict_keys(['images', 'annotations', 'categories'])
    """
    content = read_regular_file(path, setting=setting)
    return parse_json(content, where=f'{setting} {path!r}', legacy_encoding=legacy_encoding)


def parse_json(content: bytes, *, where: str, legacy_encoding: str | None = None) -> Any:
    """Parse the content of a file as :func:`read_json` does, for who has read it already.

    Args:
        content: The whole file.
        where: Names the file, for messages.
        legacy_encoding: What content that is no Unicode is read as; None refuses it.

    Raises:
        ValueError: The content is not JSON, as :func:`read_json` says it.
    """
    return _parse(_decode(content, where=where, legacy_encoding=legacy_encoding), where=where)


def read_json_lines(path: str, *, setting: str) -> Iterator[tuple[str, Any]]:
    """Read a file of JSON lines, each line as :func:`read_json` reads a file. Blank lines are skipped.

    Yields:
        What names line and file in messages, such as "line 3 of ann_file 'val.jsonl'", and the value of the line.

    Raises:
        ValueError: A fault that :func:`read_json` refuses; of what is not JSON, the line is named.
    """
    content = read_regular_file(path, setting=setting)
    text = _decode(content, where=f'{setting} {path!r}')
    for number, line in enumerate(text.split('\n'), start=1):  # splitlines() also splits strings, at U+2028
        if line.strip():
            where = f'line {number} of {setting} {path!r}'
            yield where, _parse(line, where=where)


def _decode(content: bytes, *, where: str, legacy_encoding: str | None = None) -> str:
    encoding = json.detect_encoding(content)
    try:
        try:
            return content.decode(encoding, 'surrogatepass').removeprefix('\ufeff')
        except UnicodeDecodeError:
            if legacy_encoding is None:
                raise
            return content.decode(legacy_encoding)
    except ValueError as error:
        raise ValueError(f'{where} is not JSON ({error}); save it as UTF-8, or get it again') from error


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
        raise ValueError(f'{where} is not JSON ({why}); mend it, or get it again') from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{where} is not JSON ({error}); mend it, or get it again') from error


class _RepeatedKeyError(ValueError):
    """An object of a JSON file has a key twice."""


class _ConstantError(ValueError):
    """A JSON file has NaN or Infinity."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise _RepeatedKeyError(f'has an object with the key {repeated!r} twice ({brief(found)})')
    return found


def _refuse_constant(name: str) -> NoReturn:
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
