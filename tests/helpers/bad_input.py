"""Kinds of bad input to training, and what comes of each: its one list.

The data are three pictures in JSON lines; a kind is planted in the second one or in its line. What is wrong with a
picture, or with a phrase and a picture together, is known only when the sample is made: there training may leave it
out. What is wrong with the annotations is found before the first step, and ends the run under any policy.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bad_uploads import picture, png_header, written
from PIL import Image

NAMES = ('a.jpg', 'b.jpg', 'c.jpg')
WIDTH, HEIGHT = 84, 64
BOX = [[10, 10, 50, 10, 50, 40, 10, 40]]
LINES = 'data.jsonl'


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of bad input.

    Args:
        name: of the kind.
        plant: puts it into a folder of sound data.
        message: regular expression that the error matches; None where it is read as if it were sound.
        found: 'sample' where it can be left out, 'annotations' where it always ends the run, 'read' where it is read.
    """

    name: str
    plant: Callable[[Path], Any]
    message: str | None
    found: str


def write(root: Path) -> None:
    (root / 'images').mkdir(parents=True)
    for name in NAMES:
        (root / 'images' / name).write_bytes(written(picture(WIDTH, HEIGHT), 'JPEG'))
    phrases = [{'phrase': 'the box', 'polygons': BOX}, {'phrase': 'a cat', 'no_target': True}]
    lines = [{'image': name, 'height': HEIGHT, 'width': WIDTH, 'phrases': phrases} for name in NAMES]
    (root / LINES).write_text(''.join(json.dumps(line) + '\n' for line in lines))


def content(data: bytes) -> Callable[[Path], None]:
    """Plant another content of the picture."""
    return lambda root: (root / 'images' / 'b.jpg').write_bytes(data)


def instead(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Plant something that is no regular file, or nothing, in the place of the picture."""

    def plant(root: Path) -> None:
        path = root / 'images' / 'b.jpg'
        path.rename(root.parent / 'elsewhere.jpg')
        make(path)

    return plant


def line(**values: Any) -> Callable[[Path], None]:
    """Plant values in the line; ``...`` takes a key away."""

    def plant(root: Path) -> None:
        lines = [json.loads(text) for text in (root / LINES).read_text().splitlines()]
        lines[1].update(values)
        lines[1] = {key: value for key, value in lines[1].items() if value is not ...}
        (root / LINES).write_text(''.join(json.dumps(each) + '\n' for each in lines))

    return plant


def phrase(**values: Any) -> Callable[[Path], None]:
    """Plant values in the first phrase of the line."""
    sound = {'phrase': 'the box', 'polygons': BOX, **values}
    given = {key: value for key, value in sound.items() if value is not ...}
    return line(phrases=[given, {'phrase': 'a cat', 'no_target': True}])


def lines(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Plant other bytes in the file of annotations."""
    return lambda root: (root / LINES).write_bytes(change((root / LINES).read_bytes()))


def linked_folder(root: Path) -> None:
    (root / 'images').rename(root.parent / 'pictures')
    (root / 'images').mkdir()
    (root / 'images' / 'sub').symlink_to(root.parent / 'pictures')
    for name in ('a.jpg', 'c.jpg'):
        (root / 'images' / name).write_bytes((root.parent / 'pictures' / name).read_bytes())
    line(image='sub/b.jpg')(root)


def unreadable(path: Path) -> None:
    path.touch()
    path.chmod(0)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return written(picture(WIDTH, HEIGHT), 'JPEG', exif=exif)


JPEG, PNG = (written(picture(WIDTH, HEIGHT), kind) for kind in ('JPEG', 'PNG'))
IMAGE = r"image '[^']*images/b\.jpg'"
LINE = r"line 2 of ann_file '[^']*data\.jsonl'"
PHRASE = f'phrase 1 of {LINE}'


def sample(name: str, plant: Callable[[Path], Any], message: str) -> Kind:
    return Kind(name=name, plant=plant, message=message, found='sample')


def annotations(name: str, plant: Callable[[Path], Any], message: str) -> Kind:
    return Kind(name=name, plant=plant, message=message, found='annotations')


def read(name: str, plant: Callable[[Path], Any]) -> Kind:
    return Kind(name=name, plant=plant, message=None, found='read')


KINDS = [
    sample('JPEG cut in the middle', content(JPEG[: len(JPEG) // 2]), f'{IMAGE} cannot be read .*truncated'),
    sample('header of a JPEG alone', content(JPEG[:30]), f'{IMAGE} cannot be read'),
    sample('no bytes', content(b''), f'{IMAGE} cannot be read .no image of JPEG'),
    sample('text with the name of a picture', content(b'this is no image'), f'{IMAGE} cannot be read .no image of JP'),
    sample('noise', content(np.random.default_rng(1).bytes(5000)), f'{IMAGE} cannot be read'),
    sample('PNG with flipped bytes', content(PNG[:60] + bytes(60) + PNG[120:]), f'{IMAGE} cannot be read'),
    sample('PNG of no width', content(png_header(0, 64)), f'{IMAGE} cannot be read'),
    sample('PNG of 40,000 x 40,000 px', content(png_header(40_000, 40_000)), f'{IMAGE} (cannot be read|has 40000 x 4)'),
    sample('PNG of 11,000 x 11,000 px', content(png_header(11_000, 11_000)), f'{IMAGE} has 11000 x 11000 px, more tha'),
    sample('PostScript', content(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 84 64\nshowpage\n'), f'{IMAGE} cannot'),
    sample('SVG', content(b'<svg xmlns="http://www.w3.org/2000/svg"/>'), f'{IMAGE} cannot be read .no image of'),
    sample(
        'pixels of floats', content(written(Image.new('F', (WIDTH, HEIGHT)), 'TIFF')), f"{IMAGE} .*mode 'F' have no"
    ),
    sample('turned by EXIF', content(turned()), f'{IMAGE} is stored turned or mirrored .EXIF orientation 6'),
    sample('of another size', content(written(picture(83, 64), 'JPEG')), rf'{IMAGE} has 64x83 px .* made on 64x84'),
    sample('of another shape', content(written(picture(64, 84), 'JPEG')), f'{IMAGE} has 84x64 px .*, another shape'),
    sample('FIFO', instead(os.mkfifo), f'{IMAGE} cannot be read .*a FIFO'),
    sample('folder', instead(Path.mkdir), f'{IMAGE} cannot be read .*Is a directory'),
    sample('absent', instead(lambda path: None), f'{IMAGE} does not exist'),
    sample('link to nothing', instead(lambda path: path.symlink_to('nothing.jpg')), f'{IMAGE} does not exist'),
    sample('without permission', instead(unreadable), f'{IMAGE} cannot be read .*Permission denied'),
    sample('phrase of 10,000 tokens', phrase(phrase='a' * 10_000), f'{IMAGE}: .*10000 tokens'),
    sample(
        'empty mask on the picture',
        line(height=..., width=..., phrases=[{'phrase': 'a', 'polygons': [[900, 900, 950, 900, 950, 950]]}]),
        f'mask 0 .* of {IMAGE}',
    ),
    annotations(
        'link out of the folder',
        instead(lambda path: path.symlink_to(path.parents[2] / 'elsewhere.jpg')),
        f"{LINE}, key 'image': path 'b.jpg' leads out of .* through a link",
    ),
    annotations(
        'folder that is a link out', linked_folder, f"{LINE}, key 'image': path 'sub/b.jpg' leads out of .* th"
    ),
    annotations(
        'links in a circle', instead(lambda path: path.symlink_to(path)), f"{LINE}, key 'image': path 'b.jpg' in"
    ),
    annotations('name that is absolute', line(image='/etc/passwd'), f"{LINE}, key 'image': path '/etc/passwd' is abso"),
    annotations('name of another drive', line(image='C:\\b.jpg'), f"{LINE}, key 'image': path .* is absolute"),
    annotations('name that goes up', line(image='../images/b.jpg'), f"{LINE}, key 'image': path .* goes up by"),
    annotations('name with a NUL', line(image='b\0.jpg'), f"{LINE}, key 'image': path .* is no name of a file"),
    annotations('name without end', line(image='b' * 5000), f"{LINE}, key 'image': path .* is longer than"),
    annotations('name of half a letter', line(image='b\ud800.jpg'), f"{LINE}, key 'image': path .* lone surrogate"),
    annotations('name that is a number', line(image=5), f'{LINE} has image 5, expected the path'),
    annotations('no name', line(image=...), f"{LINE} has no 'image'; add it"),
    annotations('picture twice', line(image='a.jpg'), rf"{LINE} has the image 'a\.jpg'"),
    annotations('no phrase', line(phrases=[]), f'{LINE} has no phrase'),
    annotations('phrase of no characters', phrase(phrase=''), f"{PHRASE}: phrase '' has no letter or digit"),
    annotations('phrase of punctuation', phrase(phrase='?!...'), f'{PHRASE}: phrase .* has no letter or digit'),
    annotations('phrase of half a letter', phrase(phrase='a\ud800'), f'{PHRASE}: phrase .* lone surrogate'),
    annotations('phrase that is a number', phrase(phrase=5), f'{PHRASE} has phrase 5, expected a string'),
    annotations('no mask', phrase(polygons=...), f'{PHRASE} has no mask'),
    annotations('no polygon', phrase(polygons=[]), f'{PHRASE}: polygons'),
    annotations('polygon of two points', phrase(polygons=[[1, 1, 9, 9]]), f'{PHRASE}: polygons'),
    annotations('polygon of text', phrase(polygons=[['a'] * 6]), f'{PHRASE}: polygons'),
    annotations('polygon outside', phrase(polygons=[[-90, -90, -50, -90, -50, -50]]), f'{PHRASE}: polygons'),
    annotations(
        'RLE of too many pixels', phrase(polygons=..., rle={'size': [64, 84], 'counts': [9, 9**9]}), f'{PHRASE}: rle'
    ),
    annotations(
        'RLE of damaged text', phrase(polygons=..., rle={'size': [64, 84], 'counts': 'PPP~~'}), f'{PHRASE}: rle'
    ),
    annotations(
        'RLE of another size', phrase(polygons=..., rle={'size': [9, 9], 'counts': [0, 81]}), f'{PHRASE}: rle has size'
    ),
    annotations('height below zero', line(height=-64), f'{LINE} has height -64'),
    annotations('key that nobody knows', line(imagge='b.jpg'), f"{LINE} has the unknown key 'imagge'"),
    annotations('line cut in the middle', lines(lambda data: data[:-40]), r"line 3 of ann_file '.*' is not JSON"),
    annotations(
        'NaN', lines(lambda data: data.replace(b'50', b'NaN', 1)), r"line 1 of ann_file '.*' is not JSON .NaN at"
    ),
    annotations('NUL between lines', lines(lambda data: data.replace(b'\n', b'\n\0', 1)), f'{LINE} is not JSON'),
    annotations(
        'nested without end', lines(lambda data: data + b'[' * 100_000), 'line 4 of .* is not JSON .maximum rec'
    ),
    annotations(
        'key twice', lines(lambda data: data + b'{"image": "a", "image": "b"}'), "line 4 of .* the key 'image' twi"
    ),
    annotations(
        'line of ten million characters',
        lines(lambda data: data + b'"' + b'a' * 10**7 + b'"'),
        'line 4 of .* expected an ob',
    ),
    annotations('Latin-1', lines(lambda data: data.replace(b'cat', b'caf\xe9')), "is not JSON .'utf-8' codec"),
    read('byte order mark', lines(lambda data: b'\xef\xbb\xbf' + data)),
    read('UTF-16', lines(lambda data: data.decode().encode('utf-16'))),
    read('special token as a phrase', phrase(phrase='<|image_pad|>')),
    read('CMYK', content(written(picture(WIDTH, HEIGHT, mode='CMYK'), 'JPEG'))),
    read('16 bits', content(written(Image.fromarray(np.full((HEIGHT, WIDTH), 40_000, dtype=np.uint16)), 'PNG'))),
    read('palette', content(written(picture(WIDTH, HEIGHT, mode='P'), 'PNG'))),
    read('alpha', content(written(picture(WIDTH, HEIGHT, mode='LA'), 'PNG'))),
    read('one bit', content(written(picture(WIDTH, HEIGHT, mode='1'), 'TIFF'))),
    read(
        'animated',
        content(
            written(picture(WIDTH, HEIGHT), 'GIF', save_all=True, append_images=[picture(WIDTH, HEIGHT, mode='L')] * 3)
        ),
    ),
    read('damaged EXIF', content(written(picture(WIDTH, HEIGHT), 'JPEG', exif=b'Exif\0\0MM\0*\xff\xff\xff\xff'))),
    read('PNG named JPEG', content(PNG)),
]
