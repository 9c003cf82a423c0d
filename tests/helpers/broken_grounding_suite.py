"""How GroundingSuite-Eval's layout can be broken beside what breaks any JSON lines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from broken_annotations import Layout, fault, image_faults
from broken_lines import edit_line, lines_faults
from PIL import Image

from flmm.datasets import GroundingSuiteDataset

LINES, SIZE = 'suite.jsonl', [64, 84]
LINE = r"line 1 of ann_file '[^']*suite\.jsonl'"
MASK = f'{LINE}: its segmentation'


def write(root: Path) -> None:
    (root / 'images').mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / 'images' / 'a.png')
    lines = [
        {
            'idx': idx,
            'image_path': 'images/a.png',
            'caption': caption,
            'segmentation': {'size': SIZE, 'counts': [0, 64 * 40, 64 * 44]},
            'class_id': class_id,
            'box': [0, 0, 40, 64],
        }
        for idx, caption, class_id in ((0, 'The left half.', 1), (1, 'The part on the left.', 2))
    ]
    (root / LINES).write_text(''.join(json.dumps(line) + '\n' for line in lines))


def build(root: Path, *, pipeline: list, **settings: Any) -> GroundingSuiteDataset:
    prefix = {'img_path': ''}
    return GroundingSuiteDataset(data_root=str(root), ann_file=LINES, data_prefix=prefix, pipeline=pipeline, **settings)


def line(**values: Any) -> Callable[[Path], None]:
    return edit_line(LINES, lambda value: value.update(values))


def rle(**values: Any) -> Callable[[Path], None]:
    return edit_line(LINES, lambda value: value['segmentation'].update(values))


GROUNDING_SUITE = Layout(
    name='grounding_suite',
    write=write,
    build=build,
    faults=[
        *lines_faults(LINES, setting='ann_file'),
        fault('idx absent', edit_line(LINES, lambda value: dict(list(value.items())[1:])), rf"{LINE} lacks \['idx'\]"),
        fault('idx twice', line(idx=1), "ann_file '.*' has idx 1 twice: entry 0 .line 1 of .* and entry 1 .line 2 of"),
        fault('idx twice, once as text', line(idx='1'), "ann_file '.*' has idx '1' and 1 twice"),
        fault('idx that is a bool', line(idx=False), f'{LINE} has idx False, expected an integer or a string'),
        fault('idx of null', line(idx=None), f'{LINE} has idx None, expected an integer or a string'),
        fault(
            'key in capitals', edit_line(LINES, lambda value: value.update(Caption=value.pop('caption'))), 'capitals'
        ),
        fault('image that is a number', line(image_path=5), f"{LINE}, key 'image_path': path 5 is no name of a file"),
        fault('image that is a list', line(image_path=['a']), f"{LINE}, key 'image_path': path .'a'. is no name"),
        fault('image that goes up', line(image_path='../a.png'), f"{LINE}, key 'image_path': path '../a.png' is absol"),
        fault('image that is absolute', line(image_path='/a.png'), f"{LINE}, key 'image_path': path '/a.png' is absol"),
        fault('image with a NUL', line(image_path='a\0.png'), f"{LINE}, key 'image_path': path .* is no name"),
        fault('caption of null', line(caption=None), f'{LINE}: phrase None is of type NoneType, expected a string'),
        fault('caption of a list', line(caption=['a']), f'{LINE}: phrase .* is of type list, expected a string'),
        fault('caption without a word', line(caption='...'), f"{LINE}: phrase '...' has no letter or digit"),
        fault('caption without end', line(caption='a' * 10_000), r"image '.*a\.png': .*10000 tokens"),
        fault('class_id that is unknown', line(class_id=5), f'{LINE} has class_id 5, expected one of'),
        fault('class_id that is a bool', line(class_id=True), f'{LINE} has class_id True, expected one of'),
        fault('class_id as text', line(class_id='1'), f"{LINE} has class_id '1', expected one of"),
        fault('segmentation of null', line(segmentation=None), f'{LINE} has segmentation None, expected an RLE'),
        fault(
            'segmentation of polygons', line(segmentation=[[1, 1, 9, 1, 9, 9]]), f'{LINE} has segmentation .*, expec'
        ),
        fault('size of bools', rle(size=[True, True]), f'{LINE} has segmentation .*, expected an RLE with size'),
        fault('size that is negative', rle(size=[-64, -84]), f'{LINE} has segmentation .*, expected an RLE with size'),
        fault('size that is huge', rle(size=[2**20, 2**20]), f'{MASK} belongs to an image of .* more than an RLE can'),
        fault('size turned', rle(size=[84, 64]), r'line 2 of .* has a mask of 64x84 px .*, an earlier line of image'),
        fault('runs too long', rle(counts=[0, 64 * 84, 1]), f'{MASK} is an RLE of 5377 px .*, expected 5376'),
        fault('runs that are negative', rle(counts=[-1, 64 * 84 + 1]), f'{MASK} is an RLE of 5376 px .shortest run -1'),
        fault(
            'runs of floats', rle(counts=[0.0, 5376.0]), f'{MASK} is an RLE with the run 0.0, expected whole numbers'
        ),
        fault('runs of background', rle(counts=[64 * 84]), f'{MASK} is an RLE of background alone'),
        fault('runs of a dict', rle(counts={str(key): 1 for key in range(999)}), f'{MASK} is an RLE whose counts are'),
        fault('runs cut off', rle(counts='o'), f"{MASK} is an RLE whose compressed counts 'o' are cut off"),
        fault('runs of other letters', rle(counts='\u00e9' * 500), f'{MASK} is an RLE whose .* are broken'),
        *image_faults('images/a.png'),
    ],
)
