"""How any file of JSON lines can be broken."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from broken_annotations import Fault, edit_bytes, fault, file_faults


def edit_line(name: str, change: Callable[[dict], Any]) -> Callable[[Path], None]:
    """Plant a fault in the first line: ``change`` edits its value in place, or returns another."""

    def plant(root: Path) -> None:
        first, *others = (root / name).read_text().splitlines()
        value = json.loads(first)
        changed = change(value)
        (root / name).write_text('\n'.join([json.dumps(value if changed is None else changed), *others]) + '\n')

    return plant


def lines_faults(name: str, *, setting: str) -> list[Fault]:
    """Faults of any file of JSON lines that has two lines at least."""
    file = rf"{setting} '[^']*{name.rpartition('/')[2]}'"
    return [
        *file_faults(name, setting=setting),
        fault('last line cut', edit_bytes(name, lambda content: content[:-30]), rf'line 2 of {file} is not JSON \('),
        fault('no bytes', edit_bytes(name, lambda _: b''), f'{file} has no line'),
        fault('empty lines alone', edit_bytes(name, lambda _: b'\r\n\n  \n'), f'{file} has no line'),
        fault('two objects in a line', edit_bytes(name, lambda content: content.replace(b'\n', b' ', 1)), 'Extra data'),
        fault(
            'page of a website', edit_bytes(name, lambda _: b'<!DOCTYPE html>'), f'line 1 of {file} is not JSON .*<!D'
        ),
        fault(
            'Latin-1', edit_bytes(name, lambda content: b'"\xe9"\n' + content), rf"{file} is not JSON \('utf-8' codec"
        ),
        fault(
            'line nested without end',
            edit_bytes(name, lambda _: b'[' * 100_000),
            r'line 1 of .* is not JSON \(maximum recursion',
        ),
        fault('list for a line', edit_line(name, lambda value: [value]), f'line 1 of {file} is .*, expected a'),
        fault('text for a line', edit_line(name, json.dumps), f'line 1 of {file} is .*, expected a'),
        fault('null for a line', edit_bytes(name, lambda content: content + b'null'), f'line 3 of {file} is None, exp'),
        fault('NaN', edit_bytes(name, lambda content: b'{"a": NaN}\n' + content), r'line 1 of .* \(NaN at a\); mend'),
        fault(
            'key twice', edit_bytes(name, lambda content: content + b'{"a": 1, "a": 2}'), "line 3 of .* the key 'a' tw"
        ),
        fault(
            'line twice',
            edit_bytes(name, lambda content: content + content.splitlines()[0]),
            '(line|entry) 1.*line 3|line 3.*line 1',
        ),
        fault('byte order mark', edit_bytes(name, lambda content: b'\xef\xbb\xbf' + content), None),
        fault('UTF-16', edit_bytes(name, lambda content: content.decode().encode('utf-16')), None),
        fault('Windows line ends', edit_bytes(name, lambda content: content.replace(b'\n', b'\r\n\r\n')), None),
        fault('no last line end', edit_bytes(name, lambda content: content.rstrip()), None),
    ]
