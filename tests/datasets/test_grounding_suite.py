"""GroundingSuite-Eval on lines in its layout."""

import json
import re

import numpy as np
import pytest

from flmm.datasets import GroundingSuiteDataset, LoadMasks
from flmm.rle import encode_masks
from flmm.structures import PhraseInfo

MASKS = np.zeros((4, 6, 8), dtype=bool)
for _index in range(4):
    MASKS[_index, _index : _index + 2, 1:5] = True
RLES = encode_masks(MASKS)
IMAGES = ['unlabeled2017/2.jpg', 'unlabeled2017/1.jpg', 'unlabeled2017/2.jpg', 'unlabeled2017/2.jpg']
LINES = [
    {
        'idx': index,
        'image_path': IMAGES[index],
        'class_id': index + 1,
        'label': 'thing',
        'caption': f'The thing {index} by the tree.',
        'box': [1.0, index, 5.0, index + 2.0],
        'segmentation': RLES[index],
    }
    for index in range(4)
]


@pytest.fixture
def load(tmp_path):
    def load(lines, **kwargs):
        (tmp_path / 'eval.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
        settings = {'data_prefix': {'img_path': 'images'}, 'serialize_data': False}
        return GroundingSuiteDataset(data_root=str(tmp_path), ann_file='eval.jsonl', **settings, **kwargs)

    return load


def test_sentences_of_an_image_are_one_item_in_the_order_of_the_file(load, tmp_path):
    dataset = load(LINES)

    first, second = dataset.get_data_info(0), dataset.get_data_info(1)

    assert len(dataset) == 2
    assert first['img_path'] == str(tmp_path / 'images' / 'unlabeled2017' / '2.jpg')
    assert first['text'] == [LINES[index]['caption'] for index in (0, 2, 3)]
    assert first['phrase_infos'] == [PhraseInfo(kind=kind) for kind in ('stuff', 'multi', 'single')]
    assert second['phrase_infos'] == [PhraseInfo(kind='part')]
    assert [instance['ann_id'] for instance in first['instances']] == [0, 2, 3]
    assert (first['annotated_size'], first['dataset_name']) == ((6, 8), 'grounding_suite')
    drawn = LoadMasks().transform({**first, 'height': 6, 'width': 8})['gt_masks'].to_ndarray()
    assert np.array_equal(drawn, MASKS[[0, 2, 3]])


@pytest.mark.parametrize('text_mode', ['select_first', 'original', 'random', 'concat'])
def test_every_mode_gives_each_sentence_with_its_kind(load, text_mode):
    item = load(LINES, text_mode=text_mode).get_data_info(0)
    assert item['text'] == [LINES[index]['caption'] for index in (0, 2, 3)]
    assert [info.kind for info in item['phrase_infos']] == ['stuff', 'multi', 'single']


def test_a_class_may_be_absent(load):
    lines = [{**LINES[0], 'class_id': 0}, {key: value for key, value in LINES[2].items() if key != 'class_id'}]
    assert load(lines).get_data_info(0)['phrase_infos'] == [PhraseInfo(), PhraseInfo()]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            {'idx': 0},
            'idx of ann_file {path} has idx 0 twice: entry 0 (line 1 of ann_file {path}) and entry 1 (line 2 of',
        ),
        ({'idx': None}, 'line 2 of ann_file {path} has idx None, expected an integer or a string'),
        ({'class_id': 5}, 'line 2 of ann_file {path} has class_id 5, expected one of [0, 1, 2, 3, 4]'),
        ({'class_id': '1'}, "line 2 of ann_file {path} has class_id '1', expected one of [0, 1, 2, 3, 4]"),
        ({'caption': '.'}, "line 2 of ann_file {path}: phrase '.' has no letter or digit"),
        ({'caption': None}, 'line 2 of ann_file {path}: phrase None is of type NoneType, expected a string'),
        (
            {'image_path': '../a.jpg'},
            "line 2 of ann_file {path}, key 'image_path': path '../a.jpg' is absolute or goes",
        ),
        ({'segmentation': None}, 'line 2 of ann_file {path} has segmentation None, expected an RLE with size'),
        (
            {'segmentation': {'size': [6, 8], 'counts': [48]}},
            'line 2 of ann_file {path}: its segmentation is an RLE of b',
        ),
        (
            {'image_path': IMAGES[0], 'segmentation': {'size': [8, 6], 'counts': [0, 48]}},
            'line 2 of ann_file {path} has a mask of 8x6 px (height x width), an earlier line of image',
        ),
    ],
)
def test_what_is_broken_is_named(load, tmp_path, change, message):
    expected = message.replace('{path}', repr(str(tmp_path / 'eval.jsonl')))
    with pytest.raises(ValueError, match=re.escape(expected)):
        load([LINES[0], {**LINES[1], **change}])


def test_missing_keys_and_empty_files_are_named(load):
    with pytest.raises(ValueError, match=r"line 1 of ann_file '.*' lacks \['caption'\]"):
        load([{key: value for key, value in LINES[0].items() if key != 'caption'}])
    with pytest.raises(ValueError, match=r"ann_file '.*' has no line; get it again"):
        load([])
