"""PNGDataset on the real COCO images, with the areas that COCO states for the oracle, and on files that are broken."""

import copy
import json
import re

import numpy as np
import pytest
from coco_mini import COCO_MINI, PNG, needs_coco_mini, read
from PIL import Image

from flmm.datasets import LoadMasks, PILLoadImageFromFile, PNGDataset, RefCOCO2PNG
from flmm.registry import DATASETS
from flmm.shapes import DIFFICULTY, generate_split, write_png
from flmm.structures import PhraseInfo

THING, STUFF = {'id': 1, 'name': 'cat', 'isthing': 1}, {'id': 2, 'name': 'sky', 'isthing': 0}
IDS = {7: 1, 300: 1, 70000: 2}
"""Segment -> category."""
PANOPTIC = {
    'images': [{'id': 5, 'file_name': 'five.jpg', 'height': 4, 'width': 6}],
    'annotations': [
        {
            'image_id': 5,
            'file_name': 'five.png',
            'segments_info': [{'id': id_, 'category_id': category} for id_, category in IDS.items()],
        }
    ],
    'categories': [THING, STUFF],
}
SEGMENTS = [
    {'utterance': 'Two Cats', 'segment_ids': ['7', '300'], 'plural': True, 'noun': True},
    {'utterance': ' sit under', 'segment_ids': [], 'plural': False, 'noun': False},
    {'utterance': ' a  sky', 'segment_ids': ['70000'], 'plural': False, 'noun': True},
    {'utterance': '.', 'segment_ids': [], 'plural': False, 'noun': False},
]
NARRATIVES = [
    {'image_id': '5', 'caption': 'It is.', 'segments': [{'utterance': 'It is.', 'segment_ids': []}]},
    {'image_id': '5', 'caption': 'Two Cats sit under a  sky.', 'annotator_id': 3, 'segments': SEGMENTS},
]


def write(root, *, narratives=NARRATIVES, panoptic=PANOPTIC):
    """Write all files; return PNGDataset's arguments."""
    for folder in ('images', 'maps'):
        (root / folder).mkdir(parents=True)
    Image.new('RGB', (6, 4)).save(root / 'images' / 'five.jpg')
    ids = np.repeat([[7, 7, 300, 0, 70000, 70000]], 4, axis=0)
    Image.fromarray(np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)).save(
        root / 'maps' / 'five.png'
    )
    for name, content in (('png.json', narratives), ('panoptic.json', panoptic)):
        (root / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return {
        'data_root': str(root),
        'ann_file': 'png.json',
        'panoptic_file': 'panoptic.json',
        'data_prefix': {'img_path': 'images/', 'panoptic_path': 'maps/'},
        'serialize_data': False,
    }


def test_an_item_is_a_caption_and_its_phrases_are_parts_of_it(tmp_path, lines):
    dataset = PNGDataset(name='mine', **write(tmp_path))

    path = str(tmp_path / 'maps' / 'five.png')
    assert [dataset.get_data_info(index) for index in range(len(dataset))] == [
        {
            'img_path': str(tmp_path / 'images' / 'five.jpg'),
            'img_id': 5,
            'annotated_size': (4, 6),
            'caption': [0, ' sit under', 1, '.'],
            'text': ['Two Cats', ' a  sky'],
            'phrase_infos': [PhraseInfo(thing=True, plural=True), PhraseInfo(thing=False, plural=False)],
            'instances': [
                {'mask': {'panoptic': path, 'ids': ids}, 'ignore': None, 'ann_id': ids, 'ignore_flag': 0}
                for ids in ([7, 300], [70000])
            ],
            'dataset_name': 'mine',
            'sample_idx': 0,
        }
    ]
    assert lines() == [f'mine: left out 1 captions without a mask of {str(tmp_path / "png.json")!r}']


@pytest.mark.parametrize('category', [1, 2])
def test_things_are_counted_as_f_lmm_does(tmp_path, category):
    """Plurals are things, whatever they are of; singulars what their segment is."""
    segments = [
        {'utterance': 'a', 'segment_ids': [7], 'plural': False},
        {'utterance': 'b', 'segment_ids': [7], 'plural': True},
        {'utterance': 'c', 'segment_ids': [7, 300], 'plural': True},
    ]
    panoptic = copy.deepcopy(PANOPTIC)
    for segment in panoptic['annotations'][0]['segments_info']:
        segment['category_id'] = category
    files = write(tmp_path, narratives=[{'image_id': 5, 'segments': segments}], panoptic=panoptic)

    infos = PNGDataset(**files).get_data_info(0)['phrase_infos']

    assert [info.thing for info in infos] == [category == 1, True, True]
    assert [info.plural for info in infos] == [False, True, True]


def test_ids_are_numbers_or_strings_in_either_file(tmp_path):
    panoptic = json.loads(json.dumps(PANOPTIC).replace('"id": 7,', '"id": "7",').replace('_id": 5', '_id": "5"'))
    narratives = json.loads(json.dumps(NARRATIVES).replace('"5"', '5').replace('"300"', '300'))

    masks = PNGDataset(**write(tmp_path, narratives=narratives, panoptic=panoptic)).get_data_info(0)['instances']

    assert [mask['ann_id'] for mask in masks] == [[7, 300], [70000]]


def test_an_id_twice_in_a_phrase_counts_once_and_is_logged(tmp_path, lines):
    segments = [{'utterance': 'a', 'segment_ids': ['7', 7], 'plural': False}]
    dataset = PNGDataset(**write(tmp_path, narratives=[{'image_id': 5, 'segments': segments}]))
    assert dataset.get_data_info(0)['instances'][0]['ann_id'] == [7]
    assert len(lines()) == 1
    assert lines()[0].startswith('png: left out 1 segment ids that a phrase has twice of ')


def test_wordless_phrases_are_refused_or_become_context(tmp_path, lines):
    segments = [SEGMENTS[0], {'utterance': ' ,', 'segment_ids': ['70000'], 'plural': False}]
    files = write(tmp_path, narratives=[{'image_id': 5, 'segments': segments}])
    with pytest.raises(
        ValueError,
        match=r"segment 1 of entry 0 of ann_file '.*png\.json', key 'utterance': phrase ' ,' has no letter or digit; "
        r'.*\(skip_wordless=True takes all such for context\)',
    ):
        PNGDataset(**files)

    item = PNGDataset(skip_wordless=True, **files).get_data_info(0)

    assert (item['caption'], item['text']) == ([0, ' ,'], ['Two Cats'])
    assert lines()[0].startswith('png: left out 1 masks of wordless phrases of ')


def changed(content, path, value):
    """A copy with another value at a path of keys; ... removes the key."""
    content = copy.deepcopy(content)
    *above, key = path
    place = content
    for step in above:
        place = place[step]
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return content


ENTRY, SEGMENT = "entry 1 of ann_file '{root}/png.json'", "segment 2 of entry 1 of ann_file '{root}/png.json'"
BROKEN = {
    'cut off': (json.dumps(NARRATIVES).encode()[:-9], "ann_file '{root}/png.json' is not JSON ("),
    'empty': (b'', "ann_file '{root}/png.json' is not JSON (it is empty); mend it, or get it again"),
    'a page': (b'<!DOCTYPE html>', "ann_file '{root}/png.json' is not JSON ("),
    'a dict': ({'segments': []}, "ann_file '{root}/png.json' is {'segments': []}, expected a list of narratives, as"),
    'key twice': (
        json.dumps(NARRATIVES).replace('"caption"', '"image_id"').encode(),
        "ann_file '{root}/png.json' has an object with the key 'image_id' twice (",
    ),
    'no mask at all': (NARRATIVES[:1], "no caption of ann_file '{root}/png.json' has a mask; check that it is"),
    'no dict': (['cat'], "entry 0 of ann_file '{root}/png.json' is 'cat', expected a dict"),
    'no image_id': (
        [1, 'image_id', ...],
        f"{ENTRY} lacks ['image_id']; add what is missing, or get the original file again",
    ),
    'no segments': (
        [1, 'segments', ...],
        f"{ENTRY} lacks ['segments']; add what is missing, or get the original file again",
    ),
    'capitals': (
        [{'image_id': 5, 'Segments': []}],
        "entry 0 of ann_file '{root}/png.json' lacks ['segments']; it has ['Segments'], and capitals count",
    ),
    'unknown image': (
        [1, 'image_id', '6'],
        f"{ENTRY} has image_id '6', which 'images' of panoptic_file '{{root}}/panoptic.json' does not have; take both "
        'files of the same release and split',
    ),
    'image no number': ([1, 'image_id', 'five'], f"{ENTRY} has image_id 'five', expected an integer or a string of"),
    'image a float': ([1, 'image_id', 5.0], f'{ENTRY} has image_id 5.0, expected an integer or a string'),
    'segments a dict': ([1, 'segments', {'0': 1}], f"{ENTRY} has segments {{'0': 1}}, expected a list of dicts"),
    'segment no dict': ([1, 'segments', 2, 'sky'], f"{SEGMENT} is 'sky', expected a dict"),
    'no utterance': (
        [1, 'segments', 2, 'utterance', ...],
        f"{SEGMENT} lacks ['utterance']; add what is missing, or get the original file",
    ),
    'utterance a number': (
        [1, 'segments', 2, 'utterance', 7],
        f"{SEGMENT}, key 'utterance': phrase 7 is of type int, expected a string",
    ),
    'context a number': (
        [1, 'segments', 3, 'utterance', None],
        "segment 3 of entry 1 of ann_file '{root}/png.json', key 'utterance': phrase None is of type NoneType",
    ),
    'lone surrogate': (
        [1, 'segments', 3, 'utterance', '\ud800'],
        "segment 3 of entry 1 of ann_file '{root}/png.json', key 'utterance': phrase '\\ud800' holds the lone",
    ),
    'no segment_ids': (
        [1, 'segments', 2, 'segment_ids', ...],
        f"{SEGMENT} lacks ['segment_ids']; add what is missing, or get the original",
    ),
    'segment_ids a string': (
        [1, 'segments', 2, 'segment_ids', '70000'],
        f"{SEGMENT} has segment_ids '70000', expected a list of ids, or [] for none",
    ),
    'unknown segment': (
        [1, 'segments', 2, 'segment_ids', ['8']],
        f"{SEGMENT} has segment_id '8', which image 'five.jpg' does not have in panoptic_file "
        "'{root}/panoptic.json'; take both files of the same release and split",
    ),
    'segment id a float': (
        [1, 'segments', 2, 'segment_ids', [7.0]],
        f"{SEGMENT} has segment_id 7.0, which image 'five.jpg' does not have in",
    ),
    'no plural': ([1, 'segments', 2, 'plural', ...], f'{SEGMENT} has plural None, expected true or false'),
    'plural a string': ([1, 'segments', 2, 'plural', 'no'], f"{SEGMENT} has plural 'no', expected true or false"),
    'singular of several': (
        [1, 'segments', 2, 'segment_ids', ['7', '70000']],
        f"{SEGMENT} (' a  sky') has 2 segment_ids and plural false; a singular has one",
    ),
}


@pytest.mark.parametrize('kind', BROKEN)
def test_broken_narratives_are_named(tmp_path, kind):
    change, message = BROKEN[kind]
    is_path = isinstance(change, list) and isinstance(change[0], int)
    narratives = changed(NARRATIVES, change[:-1], change[-1]) if is_path else change
    with pytest.raises(ValueError, match=re.escape(message.replace('{root}', str(tmp_path)))):
        PNGDataset(**write(tmp_path, narratives=narratives))


def test_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    content = '\ufeff' + json.dumps(NARRATIVES, indent=1).replace('\n', '\r\n')
    assert len(PNGDataset(**write(tmp_path, narratives=content.encode()))) == 1


def test_both_folders_must_be_named(tmp_path):
    files = {**write(tmp_path), 'data_prefix': {'img_path': 'images/'}}
    with pytest.raises(ValueError, match=re.escape("lacks ['panoptic_path']; name the folder of each")):
        PNGDataset(**files)


@pytest.mark.parametrize('list_name', ['images', 'annotations'])
def test_files_below_their_folders(tmp_path, list_name):
    panoptic = changed(PANOPTIC, [list_name, 0, 'file_name'], '../five.jpg')
    with pytest.raises(
        ValueError,
        match=r"image '5' of panoptic_file '.*', key 'file_name': path '\.\./five\.jpg' is absolute or goes up",
    ):
        PNGDataset(**write(tmp_path, panoptic=panoptic))


def masks_of(files, **pipeline):
    dataset = PNGDataset(pipeline=[PILLoadImageFromFile(), LoadMasks()], **files)
    return [item['gt_masks'].to_ndarray() for item in dataset]


def test_masks_are_unions_of_segments(tmp_path):
    (masks,) = masks_of(write(tmp_path))
    expected = np.zeros((2, 4, 6))
    expected[0, :, :3] = expected[1, :, 4:] = 1
    assert np.array_equal(masks, expected)


def test_a_segment_without_a_pixel_is_refused_when_the_item_is_loaded(tmp_path):
    panoptic = copy.deepcopy(PANOPTIC)
    panoptic['annotations'][0]['segments_info'].append({'id': 9, 'category_id': 1})
    narratives = changed(NARRATIVES, [1, 'segments', 0, 'segment_ids'], ['7', '9'])
    with pytest.raises(
        ValueError, match=r"mask 0 \(annotation \[7, 9\]\) of image '.*five\.jpg' has segment 9, of which"
    ):
        masks_of(write(tmp_path, narratives=narratives, panoptic=panoptic))


def test_shapes_in_pngs_layout(tmp_path):
    """What flmm.shapes writes is read: as many phrases as it counts, and masks of its segments' areas."""
    write_png(tmp_path, 'val', generate_split(seed=3, split='val', num_images=4, config=DIFFICULTY['hard']))
    files = {
        'data_root': str(tmp_path),
        'ann_file': 'annotations/png_coco_val.json',
        'panoptic_file': 'annotations/panoptic_val.json',
        'data_prefix': {'img_path': 'images/', 'panoptic_path': 'annotations/panoptic_val/'},
    }
    narratives = json.loads((tmp_path / files['ann_file']).read_text())
    panoptic = json.loads((tmp_path / files['panoptic_file']).read_text())
    areas = {
        entry['image_id']: {s['id']: s['area'] for s in entry['segments_info']} for entry in panoptic['annotations']
    }
    for narrative, masks in zip(narratives, masks_of(files), strict=True):
        expected = [
            sum(areas[int(narrative['image_id'])][int(id_)] for id_ in segment['segment_ids'])
            for segment in narrative['segments']
            if segment['segment_ids']
        ]
        assert masks.sum(axis=(1, 2)).tolist() == expected


@needs_coco_mini
def test_coco_captions_phrases_and_areas(lines):
    """The areas that COCO's file states are the oracle of unions."""
    dataset = PNGDataset(name='png_val', pipeline=[PILLoadImageFromFile(), LoadMasks()], **PNG)
    annotations = read('annotations/panoptic_val2017.json')['annotations']
    areas = {segment['id']: segment['area'] for entry in annotations for segment in entry['segments_info']}
    by_image = {entry['image_id']: {s['id']: s['area'] for s in entry['segments_info']} for entry in annotations}
    crowds = {s['id'] for entry in annotations for s in entry['segments_info'] if s['iscrowd']}
    assert 3937500 in areas  # in two images, with an area in each
    narratives = [n for n in read('annotations/png_coco_val2017.json') if any(s['segment_ids'] for s in n['segments'])]

    items = list(dataset)

    assert len(items) == len(narratives) == 4
    assert [line for line in lines() if 'left out' in line] == [
        f'png_val: left out 1 captions without a mask of {str(COCO_MINI / PNG["ann_file"])!r}'
    ]
    assert [len(item['text']) for item in items] == [3, 7, 6, 2]
    seen = set()
    for item, narrative in zip(items, narratives, strict=True):
        grounded = [segment for segment in narrative['segments'] if segment['segment_ids']]
        assert item['text'] == [segment['utterance'] for segment in grounded]
        pieces = [item['text'][piece] if isinstance(piece, int) else piece for piece in item['caption']]
        assert ''.join(pieces) == narrative['caption']
        assert [info.plural for info in item['phrase_infos']] == [segment['plural'] for segment in grounded]
        assert [instance['ann_id'] for instance in item['instances']] == [
            [int(id_) for id_ in segment['segment_ids']] for segment in grounded
        ]
        expected = [sum(by_image[item['img_id']][int(id_)] for id_ in s['segment_ids']) for s in grounded]
        assert item['gt_masks'].to_ndarray().sum(axis=(1, 2)).tolist() == expected
        seen |= {int(id_) for segment in grounded for id_ in segment['segment_ids']}
    assert crowds & seen  # a crowd is a segment like any other
    things = [info.thing for item in items for info in item['phrase_infos']]
    assert (things.count(True), things.count(False)) == (13, 5)
    plurals = [info.plural for item in items for info in item['phrase_infos']]
    assert plurals.count(True) == 8


@needs_coco_mini
def test_a_sample_of_coco_is_the_whole_caption(wrapper):
    pipeline = [PILLoadImageFromFile(), LoadMasks(), RefCOCO2PNG(image_processor=wrapper, prompt='Where?')]

    sample = PNGDataset(pipeline=pipeline, **PNG)[0]

    caption = 'Two cats are lying on a pink couch with two remotes next to them.'
    numbers = [0] * 8 + [-1] * 13 + [1] * 13 + [-1] * 5 + [2] * 12 + [-1] * 14  # the tiny tokenizer reads bytes
    assert len(numbers) == len(caption)
    assert sample.mask_ids[-len(caption) :].tolist() == numbers
    assert sample.input_ids[-len(caption) :].tolist() == wrapper.encode_text(caption)
    assert (sample.mask_ids[: -len(caption)] == -1).all()
    assert sample.phrases == ['Two cats', ' a pink couch', ' two remotes']


def test_configs_build_it(tmp_path):
    dataset = DATASETS.build({'type': 'PNGDataset', 'test_mode': True, **write(tmp_path)})
    assert (type(dataset), dataset.name, len(dataset)) == (PNGDataset, 'png', 1)
