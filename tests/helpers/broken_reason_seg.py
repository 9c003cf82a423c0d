"""How ReasonSeg's layout can be broken: NAME.json beside NAME.jpg, drawn shapes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from broken_annotations import Layout, edit_at, edit_json, fault, image_faults, json_faults, without
from PIL import Image

from flmm.datasets import ReasonSegDataset

NAME = 'val/a.json'
FILE, SHAPE = r"annotation '[^']*a\.json'", r"shape 0 of annotation '[^']*a\.json'"
BOX = [[10, 10], [50, 10], [50, 40], [10, 40]]


def write(root: Path) -> None:
    (root / 'val').mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 84, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / 'val' / 'a.jpg')
    shapes = [
        {'label': 'target', 'points': BOX, 'shape_type': 'polygon'},
        {'label': 'ignore', 'points': [[60, 10], [80, 10], [80, 40]], 'shape_type': 'polygon'},
    ]
    content = {'text': ['What can one sit on?', 'Where to rest?'], 'is_sentence': True, 'shapes': shapes}
    (root / NAME).write_text(json.dumps(content))


def build(root: Path, *, pipeline: list, **settings: Any) -> ReasonSegDataset:
    prefix = {'img_path': 'val/'}
    return ReasonSegDataset(name='val', data_root=str(root), data_prefix=prefix, pipeline=pipeline, **settings)


def content(**values: Any) -> Callable[[Path], None]:
    return edit_at(NAME, **values)


def shape(**values: Any) -> Callable[[Path], None]:
    return edit_at(NAME, 'shapes', 0, **values)


REASON_SEG = Layout(
    name='reason_seg',
    write=write,
    build=build,
    faults=[
        # Of a JSON that is absent, its picture says it; what is no Unicode is read as Windows wrote it.
        *without(json_faults(NAME, setting='annotation'), 'file absent', 'JSON in Latin-1'),
        fault('JSON absent', lambda root: (root / NAME).unlink(), "folder '.*' has no 'a.json'; unpack the archive"),
        fault(
            'no file at all', lambda root: shutil.rmtree(root / 'val'), r"folder '.*' holds no \.jpg; check data_root"
        ),
        fault(
            'picture without a JSON', lambda root: shutil.copy(root / 'val/a.jpg', root / 'val/b.jpg'), "no 'b.json'"
        ),
        fault(
            'JSON without a picture', lambda root: shutil.copy(root / NAME, root / 'val/b.json'), "no 'b.jpg'; unpack"
        ),
        fault('ending in capitals', lambda root: (root / 'val/a.jpg').rename(root / 'val/a.JPG'), r'holds no \.jpg'),
        fault('list for the dict', edit_json(NAME, lambda value: [value]), f"{FILE} has no list 'shapes'"),
        fault('shapes absent', content(shapes=...), f"{FILE} has no list 'shapes'"),
        fault('shapes of null', content(shapes=None), f"{FILE} has no list 'shapes'"),
        fault('shapes in capitals', content(shapes=..., Shapes=[]), f"{FILE} has no list 'shapes'"),
        fault('no shape', content(shapes=[]), f'{FILE} has no pixel of a target, in a picture of 64x84 px'),
        fault('shape of ignore alone', shape(label='IGNORE'), f'{FILE} has no pixel of a target'),
        fault(
            'shape that is text', content(shapes=['target']), f"{SHAPE} is 'target', expected an object with a label"
        ),
        fault('label of null', shape(label=None), f'{SHAPE} is .*, expected an object with a label'),
        fault('points of null', shape(points=None), f'{SHAPE} has points None, expected a list'),
        fault('no point', shape(points=[]), rf'{SHAPE} has points \[\], expected a list'),
        fault('points in a row', shape(points=[1, 1, 9, 1, 9, 9]), f'{SHAPE} has the point 1, expected two numbers'),
        fault('points of text', shape(points=[['1', '2']]), f'{SHAPE} has the point .*, expected two numbers'),
        fault('points of bools', shape(points=[[True, False]]), f'{SHAPE} has the point .*, expected two numbers'),
        fault('points in space', shape(points=[[1, 2, 3]]), f'{SHAPE} has the point .*, expected two numbers'),
        fault(
            'points that are huge', shape(points=[[0, 0], [10**400, 0], [0, 9]]), f'{SHAPE} has the point .*, expected'
        ),
        fault('points outside', shape(points=[[900, 9], [990, 9], [990, 99]]), f'{FILE} has no pixel of a target'),
        fault(
            'points in fractions',
            shape(points=[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]),
            f'{FILE} has a target in coordinates of 0 to 1',
        ),
        fault('text absent', content(text=...), f'{FILE} has text None, expected a list of strings'),
        fault('no text', content(text=[]), rf'{FILE} has text \[\], expected a list of strings'),
        fault('text that is a number', content(text=5), f'{FILE} has text 5, expected a list of strings'),
        fault('text of numbers', content(text=[5]), f'{FILE}: phrase 5 is of type int'),
        fault('text of null', content(text=[None]), f'{FILE}: phrase None is of type NoneType'),
        fault('text without a word', content(text=['?']), rf"{FILE}: phrase '\?' has no letter or digit"),
        fault('text without end', content(text=['a' * 10_000]), r"image '.*a\.jpg': .*10000 tokens"),
        fault('is_sentence absent', content(is_sentence=...), f'{FILE} has is_sentence None, expected true or false'),
        fault('is_sentence of a number', content(is_sentence=1), f'{FILE} has is_sentence 1, expected true or false'),
        fault('is_sentence of text', content(is_sentence='true'), f"{FILE} has is_sentence 'true', expected true or"),
        # Its files do not say how large the picture was.
        *without(image_faults('val/a.jpg'), 'image absent', 'image of another size'),
    ],
)
