"""How PNG's layout can be broken: narratives, COCO's panoptic file, and the panoptic pictures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from broken_annotations import Fault, Layout, edit_at, edit_bytes, edit_json, fault, image_faults, json_faults
from PIL import Image

from flmm.datasets import PNGDataset

NARRATIVES, PANOPTIC, PICTURE = 'png_coco.json', 'panoptic.json', 'maps/5.png'
SEGMENTS = {7: 1, 300: 1, 70000: 2}
"""Segment -> category, 1 a thing, 2 stuff."""
WORDS = [('Two cats', ['7', '300'], True), (' under a', [], False), (' sky', [70000], False)]
NARRATIVES_FILE, PANOPTIC_FILE = r"ann_file '[^']*png_coco\.json'", r"panoptic_file '[^']*panoptic\.json'"
PHRASE, ANNOTATION = f'segment 2 of entry 0 of {NARRATIVES_FILE}', "entry of image 5 in 'annotations' of "
MASK = r"mask 0 \(annotation \[7, 300\]\) of image '[^']*5\.png'"


def write(root: Path) -> None:
    for folder in ('images', 'maps'):
        (root / folder).mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 84, 3), dtype=np.uint8)).save(root / 'images/5.png')
    write_picture(root)
    segments = [
        {'utterance': text, 'segment_ids': ids, 'plural': plural, 'noun': bool(ids)} for text, ids, plural in WORDS
    ]
    (root / NARRATIVES).write_text(json.dumps([{'image_id': '5', 'caption': 'Two cats', 'segments': segments}]))
    infos = [{'id': segment, 'category_id': category} for segment, category in SEGMENTS.items()]
    panoptic = {
        'images': [{'id': 5, 'file_name': '5.png', 'height': 64, 'width': 84}],
        'annotations': [{'image_id': 5, 'file_name': '5.png', 'segments_info': infos}],
        'categories': [{'id': 1, 'name': 'cat', 'isthing': 1}, {'id': 2, 'name': 'sky', 'isthing': 0}],
    }
    (root / PANOPTIC).write_text(json.dumps(panoptic))


def write_picture(root: Path, *, size: tuple[int, int] = (64, 84), mode: str = 'RGB', **options: Any) -> None:
    ids = np.zeros(size, dtype=int)
    for number, segment in enumerate(SEGMENTS):
        ids[20 * number : 20 * number + 20] = segment
    picture = Image.fromarray(np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8))
    picture.convert(mode).save(root / PICTURE, **options)


def pictured(**options: Any) -> Callable[[Path], None]:
    return lambda root: write_picture(root, **options)


def segment(**values: Any) -> Callable[[Path], None]:
    return edit_at(NARRATIVES, 0, 'segments', 2, **values)


def panoptic(name: str, index: int, **values: Any) -> Callable[[Path], None]:
    return edit_at(PANOPTIC, name, index, **values)


def info(**values: Any) -> Callable[[Path], None]:
    return edit_at(PANOPTIC, 'annotations', 0, 'segments_info', 2, **values)


def append(name: str, **values: Any) -> Callable[[Path], None]:
    """Plant a copy of the first entry of a list of the panoptic file, with other values."""
    return edit_json(PANOPTIC, lambda value: value[name].append({**value[name][0], **values}))


def build(root: Path, *, pipeline: list, **settings: Any) -> PNGDataset:
    prefix = {'img_path': 'images/', 'panoptic_path': 'maps/'}
    files = {'ann_file': NARRATIVES, 'panoptic_file': PANOPTIC, 'data_prefix': prefix}
    return PNGDataset(data_root=str(root), pipeline=pipeline, **files, **settings)


NARRATIVES_FAULTS = [
    *json_faults(NARRATIVES, setting='ann_file'),
    fault('dict for the list', edit_json(NARRATIVES, lambda value: {'a': value}), f'{NARRATIVES_FILE} is .*a list of'),
    fault('no narrative', edit_json(NARRATIVES, lambda _: []), f'no caption of {NARRATIVES_FILE} has a mask'),
    fault('no segments', edit_at(NARRATIVES, 0, segments=[]), f'no caption of {NARRATIVES_FILE} has a mask'),
    fault('text for a narrative', edit_json(NARRATIVES, lambda _: ['a']), f"entry 0 of {NARRATIVES_FILE} is 'a', exp"),
    fault(
        'key of a narrative in capitals',
        edit_json(NARRATIVES, lambda value: value[0].update(Segments=value[0].pop('segments'))),
        rf"entry 0 of {NARRATIVES_FILE} lacks \['segments'\]; it has \['Segments'\], and capitals count",
    ),
    fault('image_id that is a word', edit_at(NARRATIVES, 0, image_id='a'), "has image_id 'a', expected an integer or"),
    fault('image_id that is a float', edit_at(NARRATIVES, 0, image_id=5.0), 'has image_id 5.0, expected an integer or'),
    fault('image_id that is a number', edit_at(NARRATIVES, 0, image_id=5), None),
    fault(
        'image_id of no image', edit_at(NARRATIVES, 0, image_id=6), "has image_id 6, which 'images' of panoptic_file"
    ),
    fault('image_id without end', edit_at(NARRATIVES, 0, image_id=10**4000), f'entry 0 of {NARRATIVES_FILE} has image'),
    fault('segments of null', edit_at(NARRATIVES, 0, segments=None), f'entry 0 of {NARRATIVES_FILE} has segments None'),
    fault('utterance of null', segment(utterance=None), f"{PHRASE}, key 'utterance': phrase None is of type NoneType"),
    fault('utterance that is a number', segment(utterance=7), f"{PHRASE}, key 'utterance': phrase 7 is of type int"),
    fault('utterance that is empty', segment(utterance=''), f"{PHRASE}, key 'utterance': phrase '' has no letter"),
    fault('utterance without a word', segment(utterance=' ?!'), f'{PHRASE}, .* no letter or digit; .*skip_wordless'),
    fault('utterance of control characters', segment(utterance='\0\x1b\u202e'), f'{PHRASE}, .* no letter or digit'),
    fault('utterance without end', segment(utterance='a' * 10_000), r"image '[^']*5\.png': .*10000 tokens"),
    fault(
        'context of half a letter', edit_at(NARRATIVES, 0, 'segments', 1, utterance='a\ud800'), 'segment 1 .* surrogate'
    ),
    fault('segment_ids of null', segment(segment_ids=None), f'{PHRASE} has segment_ids None, expected a list of ids'),
    fault('segment_ids of text', segment(segment_ids='70000'), f"{PHRASE} has segment_ids '70000', expected a list"),
    fault('segment_id of a bool', segment(segment_ids=[True]), f'{PHRASE} has segment_id True, which image'),
    fault('segment_id of no segment', segment(segment_ids=['8']), f"{PHRASE} has segment_id '8', which image '5.png'"),
    fault('segment_id without end', segment(segment_ids=[10**4000]), f'{PHRASE} has segment_id 1000'),
    fault('plural of null', segment(plural=None), f'{PHRASE} has plural None, expected true or false'),
    fault('plural of a number', segment(plural=1), f'{PHRASE} has plural 1, expected true or false'),
    fault('singular of two', segment(segment_ids=[7, 300]), rf"{PHRASE} \(' sky'\) has 2 segment_ids and plural false"),
    Fault(
        name='segment_id twice, left out',
        plant=segment(segment_ids=[70000, '70000']),
        message=None,
        left_out='left out 1 segment ids that a phrase has twice of',
    ),
]
PANOPTIC_FAULTS = [
    *json_faults(PANOPTIC, setting='panoptic_file'),
    fault('list for the dict', edit_json(PANOPTIC, lambda value: [value]), f"{PANOPTIC_FILE} has no 'images', 'annot"),
    fault('no categories', edit_json(PANOPTIC, lambda value: value.pop('categories') and None), f'{PANOPTIC_FILE} has'),
    fault(
        'images of null',
        edit_json(PANOPTIC, lambda value: value.update(images=None)),
        f"'images' of {PANOPTIC_FILE} is",
    ),
    fault('image twice', append('images'), f"'images' of {PANOPTIC_FILE} has id 5 twice: entry 0 .* and entry 1"),
    fault('image twice, once as text', append('images', id='5'), f"'images' of {PANOPTIC_FILE} has id 5 and '5' twice"),
    fault('image twice, once with zeros', append('images', id='05', file_name='6.png'), "has id 5 and '05' twice"),
    fault('annotation twice', append('annotations'), f"'annotations' of {PANOPTIC_FILE} has image_id 5 twice"),
    fault('category twice', append('categories', isthing=0), f"'categories' of {PANOPTIC_FILE} has id 1 twice"),
    fault('image id that is text', panoptic('images', 0, id='5'), None),
    fault(
        'image without its file', panoptic('images', 0, file_name=...), rf"image '?5'? of {PANOPTIC_FILE} lacks \['f"
    ),
    fault('file_name that goes up', panoptic('images', 0, file_name='../images/5.png'), "key 'file_name': path '../im"),
    fault('file_name that is absolute', panoptic('images', 0, file_name='/etc/passwd'), "'file_name': path '/etc/pass"),
    fault(
        'file_name without end', panoptic('images', 0, file_name='a' * 9999), "key 'file_name': path 'aaa.*is longer"
    ),
    fault(
        'height that is negative', panoptic('images', 0, height=-64), f'image 5 of {PANOPTIC_FILE} .* has height -64'
    ),
    fault(
        'height that is a bool', panoptic('images', 0, height=True), f'image 5 of {PANOPTIC_FILE} .* has height True'
    ),
    fault('picture that goes up', panoptic('annotations', 0, file_name='../maps/5.png'), r"path '\.\./maps/5\.png' is"),
    fault('picture of null', panoptic('annotations', 0, file_name=None), 'path None is no name of a file'),
    fault('segments_info of null', panoptic('annotations', 0, segments_info=None), f'{ANNOTATION}{PANOPTIC_FILE} has'),
    fault('segment twice', info(id=300), f'{ANNOTATION}{PANOPTIC_FILE} has segment 300 twice'),
    fault(
        'segment id of zero', info(id=0), f'segment 2 of the {ANNOTATION}{PANOPTIC_FILE} has id 0, expected a colour'
    ),
    fault('segment id that is huge', info(id=256**3), 'has id 16777216, expected a colour'),
    fault('segment id that is negative', info(id=-7), 'has id -7, expected a colour'),
    fault('category_id as text', info(category_id='2'), "has category_id '2', which is none of 'categories'"),
    fault('isthing of text', panoptic('categories', 1, isthing='0'), f"category 2 of {PANOPTIC_FILE} has isthing '0'"),
    fault('isthing absent', panoptic('categories', 1, isthing=...), f'category 2 of {PANOPTIC_FILE} has isthing None'),
    fault('picture absent', lambda root: (root / PICTURE).unlink(), f"{MASK} is the file '.*', which does not exist"),
    fault('picture cut', edit_bytes(PICTURE, lambda content: content[:99]), f'{MASK} is the file .* cannot be read as'),
    fault('picture of no bytes', edit_bytes(PICTURE, lambda _: b''), f'{MASK} is the file .* cannot be read as a PNG'),
    fault('picture of another size', pictured(size=(84, 64)), f'{MASK} lies in a file of 84x64 px .* image has 64x84'),
    fault('picture with a palette', pictured(mode='P'), f'{MASK} is the file .* of mode P, expected RGB'),
    fault('picture with alpha', pictured(mode='RGBA'), f'{MASK} is the file .* of mode RGBA, expected RGB'),
    fault('picture of 16 bits', pictured(mode='I;16'), f'{MASK} is the file .* of mode I;16, expected RGB'),
    fault('picture that is a JPEG', pictured(format='JPEG'), f'{MASK} is the file .* cannot be read as a PNG'),
    fault(
        'segment not in the picture', lambda root: Image.new('RGB', (84, 64)).save(root / PICTURE), f'{MASK} has segm'
    ),
]
PNG = Layout(
    name='png',
    write=write,
    build=build,
    faults=[*NARRATIVES_FAULTS, *PANOPTIC_FAULTS, *image_faults('images/5.png')],
)
