"""How one's own data, as JSON lines, can be broken beside what breaks any JSON lines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from broken_annotations import Layout, fault, image_faults
from broken_lines import edit_line, lines_faults
from PIL import Image

from flmm.datasets import JsonLinesDataset

LINES = 'data.jsonl'
FILE = r"ann_file '[^']*data\.jsonl'"
LINE, PHRASE, SECOND = (f'{part}line 1 of {FILE}' for part in ('', 'phrase 1 of ', 'phrase 2 of '))
BOX = [[10, 10, 50, 10, 50, 40, 10, 40]]


def write(root: Path) -> None:
    (root / 'images').mkdir(parents=True)
    for name in ('a', 'b'):
        pixels = np.random.default_rng(0).integers(0, 256, (64, 84, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / 'images' / f'{name}.png')
    Image.new('L', (84, 64), 255).save(root / 'mask.png')
    phrases = [
        {'phrase': 'the box', 'polygons': BOX},
        {'phrase': ['all', 'everything'], 'png': 'mask.png', 'plural': True},
        {'phrase': 'a cat', 'no_target': True},
    ]
    lines = [{'image': 'a.png', 'height': 64, 'width': 84, 'split': 'val', 'phrases': phrases}]
    lines.append({'image': 'b.png', 'split': 'val', 'phrases': [{'phrase': 'the box', 'polygons': BOX}]})
    (root / LINES).write_text(''.join(json.dumps(line) + '\n' for line in lines))


def build(root: Path, *, pipeline: list, **settings: Any) -> JsonLinesDataset:
    settings = {'text_mode': 'original', 'data_prefix': {'img_path': 'images/'}, **settings}
    return JsonLinesDataset(data_root=str(root), ann_file=LINES, pipeline=pipeline, **settings)


def line(**values: Any) -> Callable[[Path], None]:
    return edit_line(LINES, lambda value: value.update(values))


def phrase(**values: Any) -> Callable[[Path], None]:
    """Plant values in the first phrase, which has polygons."""
    return edit_line(LINES, lambda value: value['phrases'][0].update(values))


def single(**values: Any) -> Callable[[Path], None]:
    """Plant values in a line that has its first phrase alone."""
    return edit_line(LINES, lambda value: value.update(phrases=value['phrases'][:1], **values))


def mask_file(picture: Image.Image, *, format: str = 'PNG') -> Callable[[Path], None]:
    return lambda root: picture.save(root / 'mask.png', format=format)


def outside(root: Path) -> None:
    (root / 'images' / 'a.png').rename(root.parent / 'a.png')
    (root / 'images' / 'a.png').symlink_to(root.parent / 'a.png')


FILE_MASK = rf"mask \d \(annotation {SECOND}\) of image '[^']*a\.png'"
JSON_LINES = Layout(
    name='json_lines',
    write=write,
    build=build,
    faults=[
        *lines_faults(LINES, setting='ann_file'),
        fault('key in capitals', line(Split='val'), f"{LINE} has the unknown key 'Split'; did you mean 'split'"),
        fault('image of null', line(image=None), f'{LINE} has image None, expected the path'),
        fault(
            'image that goes up', line(image='../mask.png'), rf"{LINE}, key 'image': path '\.\./mask\.png' is absolute"
        ),
        fault('image that goes up, as Windows', line(image='..\\mask.png'), f"{LINE}, key 'image': path"),
        fault('image that is absolute', line(image='/etc/passwd'), f"{LINE}, key 'image': path '/etc/passwd' is absol"),
        fault('image with a backslash', line(image='images\\a.png'), r"image '[^']*a\.png' does not exist"),
        fault('image without end', line(image='a' * 9999), f"{LINE}, key 'image': path 'aaa.* is longer"),
        fault('image that is a link', outside, f"{LINE}, key 'image': path 'a.png' leads out of .* through a link"),
        fault('image twice', line(image='./b.png'), rf'line 2 of {FILE} has the image .*, as line 1 of .* has'),
        fault('image twice, one with id', line(image='b.png', id=1), r'line 2 of .* has the image .*, as line 1 of'),
        fault('id that is a bool', line(id=True), f'{LINE} has id True, expected an integer or a string'),
        fault('id that is a float', line(id=1.0), f'{LINE} has id 1.0, expected an integer or a string'),
        fault('split in capitals', line(split='Val'), f"{FILE} has the split 'Val' beside 'val', wh", split='val'),
        fault('split that is a number', line(split=1), f'{LINE} has split 1, expected a string such'),
        fault('split of null', line(split=None), f"{LINE} has no split, and 'val' is asked for", split='val'),
        fault('unknown split', lambda root: None, rf"{FILE} has no line of split 'a', but of \['val'\]", split='a'),
        fault('height alone', line(width=None), f'{LINE} has only one of height and width'),
        fault('height that is negative', line(height=-64), f'{LINE} has height -64, expected an integer above 0'),
        fault('height that is a bool', line(height=True), f'{LINE} has height True, expected an integer above 0'),
        fault('height that is text', line(height='64'), f"{LINE} has height '64', expected an integer above 0"),
        fault('height that is huge', line(height=10**30), f'{PHRASE}: polygons belongs to an image of 10+x84 px, more'),
        fault(
            'size of another picture',
            line(height=63),
            r"image '.*a\.png' has 64x84 px .*, its annotation was made on 63",
        ),
        fault('phrases of a dict', line(phrases={'phrase': 'a'}), f'{LINE} has phrases .*, expected a list of objects'),
        fault('no phrase', line(phrases=[]), f'{LINE} has no phrase; leave the image out'),
        fault('phrase that is text', line(phrases=['a']), f"{PHRASE} is 'a', expected an object"),
        fault('phrase of null', phrase(phrase=None), f'{PHRASE} has phrase None, expected a string'),
        fault('phrase that is a number', phrase(phrase=5), f'{PHRASE} has phrase 5, expected a string'),
        fault('phrase that is empty', phrase(phrase=''), f"{PHRASE}: phrase '' has no letter or digit"),
        fault('phrase of control characters', phrase(phrase='\0\x1b'), f'{PHRASE}: phrase .* has no letter or digit'),
        fault('phrase of half a letter', phrase(phrase='a\ud800'), f'{PHRASE}: phrase .* lone surrogate'),
        fault('phrase without end', phrase(phrase='a' * 10_000), r"image '.*a\.png': .*10000 tokens"),
        fault('phrase of lists', phrase(phrase=[['a']]), rf"{PHRASE}: phrase \['a'\] is of type list"),
        fault('no mask', phrase(polygons=None), f'{PHRASE} has polygons None, expected a list of polygons'),
        fault('no_target beside a mask', phrase(no_target=True), f'{PHRASE} has no_target and polygons; leave out'),
        fault('no_target that is a number', phrase(no_target=1), f'{PHRASE} has no_target 1, expected true or false'),
        fault('plural that is a number', phrase(plural=1), f'{PHRASE} has plural 1, expected true or false'),
        fault('kinds of another number', phrase(kind=['a', 'b']), f'{PHRASE} has 2 kinds for 1 strings'),
        fault(
            'polygon of pairs', phrase(polygons=[[[1, 1], [9, 1], [9, 9]]]), f'{PHRASE}: polygons is .*, expected poly'
        ),
        fault(
            'polygon in fractions',
            phrase(polygons=[[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]),
            f'{PHRASE}: polygons has .* 0 to 1',
        ),
        fault(
            'polygon of bools', phrase(polygons=[[True] * 6]), f'{PHRASE}: polygons has a polygon with the coordinate T'
        ),
        fault(
            'RLE of another size', phrase(rle={'size': [9, 9], 'counts': [0, 81]}), rf'{PHRASE}: rle has size \[9, 9\]'
        ),
        fault(
            'RLE of bools', phrase(rle={'size': [True, True], 'counts': [0, 1]}), f'{PHRASE} has rle .*, expected COCO'
        ),
        fault(
            'RLE of a huge run', phrase(rle={'size': [64, 84], 'counts': [10**4000] * 2}), f'{PHRASE}: rle is an RLE w'
        ),
        fault('ignore that is empty', phrase(ignore={}), f'{PHRASE} has ignore .*, expected an object with polygons'),
        fault('mask file absent', lambda root: (root / 'mask.png').unlink(), f'{FILE_MASK} is the file .* not exist'),
        fault('mask file that goes up', phrase(png='../mask.png'), f"{PHRASE}, key 'png': path '../mask.png' is absol"),
        fault(
            'mask file of another size', mask_file(Image.new('L', (64, 84), 1)), f'{FILE_MASK} lies in a file of 84x64'
        ),
        fault('mask file in colour', mask_file(Image.new('RGB', (84, 64))), f'{FILE_MASK} is the file .* of mode RGB'),
        fault(
            'mask file of zeros', mask_file(Image.new('L', (84, 64))), f'{FILE_MASK} is the file .* all pixels are 0'
        ),
        fault(
            'mask file that is a JPEG',
            mask_file(Image.new('L', (84, 64), 1), format='JPEG'),
            f'{FILE_MASK} .* as a PNG',
        ),
        fault('mask file of 16 bits', mask_file(Image.new('I;16', (84, 64), 256)), None),
        fault('caption of text', line(caption='a cat'), f"{LINE} has caption 'a cat', expected a list of strings and"),
        fault(
            'caption of a bool', line(caption=[False, 1, 2]), f'{LINE} has caption .*, expected a list of strings and'
        ),
        fault(
            'caption without a phrase',
            line(caption=[0, 2]),
            rf'{LINE} has a caption of phrases \[0, 2\], expected each',
        ),
        fault(
            'caption with a phrase twice', line(caption=[0, 1, 2, 2]), f'{LINE} has a caption of phrases .*, expected'
        ),
        fault(
            'caption counted from 1', line(caption=[1, 2, 3]), f'{LINE} has a caption of phrases .* each from 0 to 2'
        ),
        fault('caption of a list', line(caption=[0, 1, 2]), f'{LINE} has a caption, and a list for phrase; write'),
        fault('caption of half a letter', single(caption=[0, 'a\ud800']), rf"{LINE}, key 'caption': .* lone surrogate"),
        *image_faults('images/a.png'),
    ],
)
