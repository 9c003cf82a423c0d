"""JSON lines of others, read without trust: whatever is wrong is an error that names file and line."""

import difflib
import json
import reprlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

from flmm.files import open_regular

BYTE_ORDER_MARK = b'\xef\xbb\xbf'


def read_json_lines(path: str | Path, *, keys: Collection[str]) -> list[tuple[str, dict[str, Any]]]:
    """Read a file of one JSON object a line.

    Args:
        path: UTF-8, with line ends of Unix.
        keys: those that mean something. Others may stand there, but none that looks like one of these misspelt.

    Returns:
        For each line where it stands, such as "'out.jsonl', line 3", and its object.

    Raises:
        ValueError: the file cannot be read or is empty, begins with a byte order mark, has line ends of Windows, an
            empty line, one that is no JSON object (cut in the middle, say), or a key twice.
    """
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise ValueError(f'{str(path)!r} cannot be read ({error.strerror}); name a file of JSON lines') from error
    if not content:
        raise ValueError(f'{str(path)!r} is empty, expected one JSON object a line')
    lines = content.split(b'\n')
    if not lines[-1]:
        del lines[-1]  # behind the last line end
    found = []
    for number, line in enumerate(lines, start=1):
        where = f'{str(path)!r}, line {number}'
        try:
            found.append((where, _parse(line, keys=keys)))
        except ValueError as error:
            raise ValueError(f'{where} {error}') from error
    return found


def _parse(line: bytes, *, keys: Collection[str]) -> dict[str, Any]:
    if line.startswith(BYTE_ORDER_MARK):
        raise ValueError('begins with a byte order mark; save the file as UTF-8 without one')
    if line.endswith(b'\r'):
        raise ValueError("ends as Windows' lines do (\\r\\n); save the file with line ends of Unix (\\n)")
    if not line.strip():
        raise ValueError('is empty, expected a JSON object')
    try:
        entry = json.loads(line.decode('utf-8'), object_pairs_hook=_no_key_twice, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f'is not UTF-8 ({error.reason} at byte {error.start}); save the file as UTF-8') from error
    except json.JSONDecodeError as error:
        raise ValueError(f'is no JSON, it may be cut off ({error.msg} at character {error.pos})') from error
    except RecursionError as error:
        raise ValueError('is nested too deep to be read') from error
    if not isinstance(entry, dict):
        raise ValueError(f'is {reprlib.repr(entry)}, expected a JSON object')
    for key in entry.keys() - set(keys):
        meant = difflib.get_close_matches(key.lower(), keys, n=1, cutoff=0.8)
        if meant:
            raise ValueError(f'has the key {key!r}, which means nothing; write {meant[0]!r} if that is meant')
    return entry


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        names = [key for key, _ in pairs]
        raise ValueError(f'has the key {next(key for key in names if names.count(key) > 1)!r} twice')
    return entry


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f'holds {name}, which is no JSON')
