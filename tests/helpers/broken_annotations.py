"""Ways to break annotations, and what must come of each: a table that every layout of annotations can join.

A layout writes sound files (``write``), builds its dataset with the pipeline that reads it (``build``), and lists its
:class:`Fault`; tests/datasets/test_broken_annotations.py runs them all.
"""

import bz2
import gzip
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to break the files of a layout.

    Args:
        name: what is wrong.
        plant: breaks what ``write`` wrote into a folder.
        message: regular expression that the error matches. None where the files are to be read as if they were sound.
        settings: arguments of the dataset.
        left_out: with these settings, what the log says is left out; the rest is read.
    """

    name: str
    plant: Callable[[Path], Any]
    message: str | None
    settings: dict[str, Any] = field(default_factory=dict)
    left_out: str | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A layout of annotations, and how it can be broken.

    Args:
        name: of the layout.
        write: writes sound files into a folder.
        build: returns the dataset of a folder; keyword arguments are settings of a fault.
        faults: of its files.
    """

    name: str
    write: Callable[[Path], None]
    build: Callable[..., Any]
    faults: list[Fault]


def fault(name: str, plant: Callable[[Path], Any], message: str | None, **settings: Any) -> Fault:
    """Make a fault; keyword arguments are its settings."""
    return Fault(name=name, plant=plant, message=message, settings=settings)


def without(faults: list[Fault], *names: str) -> list[Fault]:
    """Take away faults that a layout does not have, or reads."""
    assert set(names) <= {each.name for each in faults}
    return [each for each in faults if each.name not in names]


def edit_json(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Plant a fault in a JSON file: ``change`` edits its value in place, or returns another."""

    def plant(root: Path) -> None:
        value = json.loads((root / name).read_text())
        changed = change(value)
        (root / name).write_text(json.dumps(value if changed is None else changed))

    return plant


def edit_at(name: str, *place: str | int, **values: Any) -> Callable[[Path], None]:
    """Plant values in the object at a place of a JSON file, such as ``'images', 0``; ``...`` takes a key away."""

    def change(value: Any) -> None:
        for step in place:
            value = value[step]
        value.update(values)
        for key in [key for key, planted in values.items() if planted is ...]:
            del value[key]

    return edit_json(name, change)


def edit_bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Plant a fault in the bytes of a file."""
    return lambda root: (root / name).write_bytes(change((root / name).read_bytes()))


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _zip(path: Path) -> None:
    content = path.read_bytes()
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr(path.name, content)


def file_faults(name: str, *, setting: str) -> list[Fault]:
    """Faults of any file of annotations, whatever it holds."""
    file = rf"{setting} '[^']*{name.rpartition('/')[2]}'".replace('(', r'\(').replace(')', r'\)').replace('.p', r'\.p')
    return [
        Fault(name='file absent', plant=lambda root: (root / name).unlink(), message=f'{file} does not exist'),
        Fault(
            name='folder instead of a file',
            plant=lambda root: _replace_by_folder(root / name),
            message=rf'{file} is no regular file \(a folder',
        ),
        Fault(
            name='fifo instead of a file',
            plant=lambda root: _replace_by_fifo(root / name),
            message=rf'{file} is no regular file \(a folder, FIFO',
        ),
        Fault(name='gzip', plant=edit_bytes(name, gzip.compress), message=rf'{file} is compressed \(gzip\); unpack'),
        Fault(name='bzip2', plant=edit_bytes(name, bz2.compress), message=rf'{file} is compressed \(bzip2\)'),
        Fault(name='zip', plant=lambda root: _zip(root / name), message=rf'{file} is compressed \(zip\)'),
    ]


def json_faults(name: str, *, setting: str) -> list[Fault]:
    """Faults of any JSON file of annotations, beside those of any file."""
    file = rf"{setting} '[^']*{name.rpartition('/')[2]}'"
    return [
        *file_faults(name, setting=setting),
        Fault(
            name='JSON cut in the middle',
            plant=edit_bytes(name, lambda content: content[: len(content) // 2]),
            message=rf'{file} is not JSON \(.* line 1 column \d+ .*\); mend it, or get it again',
        ),
        Fault(name='JSON empty', plant=edit_bytes(name, lambda _: b''), message=rf'{file} is not JSON \(it is empty\)'),
        Fault(
            name='JSON with garbage behind it',
            plant=edit_bytes(name, lambda content: content + b'}'),
            message=rf'{file} is not JSON \(Extra data: line 1 column \d+',
        ),
        Fault(
            name='JSON twice in a file',
            plant=edit_bytes(name, lambda content: content + b'\n' + content),
            message=rf'{file} is not JSON \(Extra data: line 2 column 1',
        ),
        Fault(
            name='page of a website instead of JSON',
            plant=edit_bytes(name, lambda _: b'<!DOCTYPE html><html>'),
            message=rf"{file} is not JSON \(.*it begins with '<!DOCTYPE",
        ),
        Fault(
            name='JSON in Latin-1',
            plant=edit_bytes(name, lambda content: b'["caf\xe9", ' + content + b']'),
            message=rf"{file} is not JSON \('utf-8' codec can't decode byte 0xe9 in position 5",
        ),
        Fault(
            name='JSON nested without end',
            plant=edit_bytes(name, lambda _: b'[' * 100_000),
            message=rf'{file} is not JSON \(maximum recursion depth',
        ),
        Fault(
            name='JSON with an endless number',
            plant=edit_bytes(name, lambda content: b'[' + b'9' * 5000 + b', ' + content + b']'),
            message=rf'{file} is not JSON \(Exceeds the limit',
        ),
        Fault(
            name='JSON with NaN',
            plant=edit_bytes(name, lambda content: b'{"a": [1, NaN], "b": ' + content + b'}'),
            message=rf'{file} is not JSON \(NaN at a\[1\]\)',
        ),
        Fault(
            name='JSON with a key twice',
            plant=edit_bytes(name, lambda content: b'{"a": 1, "a": 2, "b": ' + content + b'}'),
            message=rf"{file} has an object with the key 'a' twice",
        ),
        Fault(
            name='JSON with a byte order mark',
            plant=edit_bytes(name, lambda content: b'\xef\xbb\xbf' + content),
            message=None,
        ),
        Fault(
            name='JSON in UTF-16',
            plant=edit_bytes(name, lambda content: content.decode().encode('utf-16')),
            message=None,
        ),
        Fault(
            name='JSON with Windows line ends',
            plant=edit_bytes(
                name, lambda content: json.dumps(json.loads(content), indent=1).replace('\n', '\r\n').encode()
            ),
            message=None,
        ),
    ]


def _write_turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=exif)


def image_faults(name: str) -> list[Fault]:
    """Faults of an image of at least 20x20 px, which any layout may have."""
    image = rf"image '[^']*{name.rpartition('/')[2]}'"
    return [
        Fault(name='image absent', plant=lambda root: (root / name).unlink(), message=f'{image} does not exist'),
        Fault(
            name='folder instead of an image',
            plant=lambda root: _replace_by_folder(root / name),
            message=rf'{image} cannot be read \(.*Is a directory',
        ),
        Fault(
            name='image of no bytes',
            plant=edit_bytes(name, lambda _: b''),
            message=rf'{image} cannot be read \(no image of JPEG',
        ),
        Fault(
            name='image cut in the middle',
            plant=edit_bytes(name, lambda content: content[: len(content) // 2]),
            message=rf'{image} cannot be read \(image file is truncated',
        ),
        Fault(
            name='page of a website instead of an image',
            plant=edit_bytes(name, lambda _: b'<!DOCTYPE html><html>'),
            message=rf'{image} cannot be read \(no image of JPEG',
        ),
        Fault(
            name='image of another size',
            plant=lambda root: Image.fromarray(np.zeros((20, 77, 3), np.uint8)).save(root / name),
            message=rf'{image} has 20x77 px \(height x width\), its annotation was made on',
        ),
        Fault(
            name='image turned by EXIF',
            plant=lambda root: _write_turned(root / name),
            message=rf'{image} is stored turned or mirrored \(EXIF orientation 6\)',
        ),
    ]
