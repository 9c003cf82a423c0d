"""GRefCocoDataset on the real COCO images, with pycocotools for the oracle, and on a small dataset written here."""

import json
import pickle
import re

import numpy as np
import pytest
from coco_mini import GREFCOCO, needs_coco_mini, read
from mmengine.registry import DefaultScope
from PIL import Image
from pycocotools import mask as coco_mask

from flmm.datasets import GRefCocoDataset, LoadMasks, PILLoadImageFromFile, RefCocoTestSets
from flmm.datasets.refs_file import load_grefs

LEFT, RIGHT = [[0, 0, 4, 0, 4, 9, 0, 9]], [[3, 0, 9, 0, 9, 9, 3, 9]]
CROWD = {'size': [9, 9], 'counts': [0, 9, 72]}
INSTANCES = {
    'images': [{'id': 3, 'file_name': 'three.jpg', 'height': 9, 'width': 9}],
    'annotations': [
        {'id': 30, 'image_id': 3, 'segmentation': LEFT},
        {'id': 31, 'image_id': 3, 'segmentation': RIGHT},
        {'id': 32, 'image_id': 3, 'segmentation': CROWD, 'iscrowd': 1},
        {'id': 10, 'image_id': 1, 'segmentation': LEFT},
    ],
}


def gref(ref_id, ann_id, sentences, split='train', **extra):
    sentences = [{'raw': sentence} for sentence in sentences]
    ref = {'ref_id': ref_id, 'ann_id': ann_id, 'image_id': 3, 'split': split, 'sentences': sentences}
    return {**ref, **extra}


REFS = [
    gref(0, [31, 32], ['both'], no_target=False),
    gref(1, 30, ['one', 'the one']),
    gref(2, [-1], ['nothing'], no_target=True),
    gref(3, [30], ['one again'], no_target=False),
    gref(4, [-1], ['nobody'], split='val', no_target=True),
]


def write(root, *, refs=REFS, pickled=False):
    """Write all files; return GRefCocoDataset's arguments."""
    (root / 'images').mkdir(parents=True)
    Image.new('RGB', (9, 9)).save(root / 'images' / 'three.jpg')
    (root / 'instances.json').write_text(json.dumps(INSTANCES))
    content = pickle.dumps(refs) if pickled else refs if isinstance(refs, bytes) else json.dumps(refs).encode()
    (root / 'grefs(unc)').write_bytes(content)
    return {
        'data_root': str(root),
        'data_prefix': {'img_path': 'images/'},
        'ann_file': 'instances.json',
        'split_file': 'grefs(unc)',
        'serialize_data': False,
    }


def masks_of(files, **settings):
    """(phrase, mask) of all items."""
    dataset = GRefCocoDataset(pipeline=[PILLoadImageFromFile(), LoadMasks()], text_mode='original', **files, **settings)
    return [
        pair for item in dataset for pair in zip(item['text'], item['gt_masks'].to_ndarray().astype(bool), strict=True)
    ]


@pytest.mark.parametrize('pickled', [False, True])
def test_several_targets_are_their_union_and_no_target_is_an_empty_mask(tmp_path, pickled):
    files = write(tmp_path, pickled=pickled)

    found = masks_of(files)

    left, both = np.zeros((9, 9), dtype=bool), np.zeros((9, 9), dtype=bool)
    left[:, :4] = True
    both[:, 3:] = both[:, 0] = True
    assert [phrase for phrase, _ in found] == ['both', 'one', 'the one', 'nothing', 'one again']
    for (_, mask), expected in zip(found, [both, left, left, np.zeros_like(left), left], strict=True):
        assert np.array_equal(mask, expected)
    item = GRefCocoDataset(text_mode='select_first', **files).get_data_info(0)
    assert [instance['ann_id'] for instance in item['instances']] == [[31, 32], 30, [], 30]
    assert [instance['mask'] is None for instance in item['instances']] == [False, False, True, False]
    assert item['instances'][1]['mask'] == LEFT  # a single one stays as it is


def test_refs_without_target_may_be_left_out_and_are_counted(tmp_path, lines):
    files = write(tmp_path)
    assert [phrase for phrase, _ in masks_of(files, skip_no_target=True)] == ['both', 'one', 'the one', 'one again']
    assert lines() == [f'train: left out 1 refs without target of {str(tmp_path / "grefs(unc)")!r}']
    with pytest.raises(ValueError, match=r"no ref in split 'val' of '.*' has a target; set skip_no_target to False"):
        GRefCocoDataset(split='val', skip_no_target=True, **files)
    with pytest.raises(ValueError, match=r"no sample in split 'testA' of .*; check split and split_file"):
        GRefCocoDataset(split='testA', skip_no_target=True, **files)


def test_an_id_twice_in_a_ref_counts_once_and_is_logged(tmp_path, lines):
    found = masks_of(write(tmp_path, refs=[gref(0, [30, 30], ['a'])]))
    assert found[0][1].sum() == 36
    assert lines()[0].startswith('train: left out 1 ids that a ref has twice of ')


SPLIT_FILE = "split_file '{root}/grefs(unc)'"
ENTRY = f'entry 0 of {SPLIT_FILE}'
BROKEN = {
    'cut off': (json.dumps(REFS).encode()[:-5], f'{SPLIT_FILE} is not JSON ('),
    'pickle cut off': (pickle.dumps(REFS)[:-5], f'{SPLIT_FILE} is not a pickle of plain containers'),
    'a page': (
        b'<html>',
        f"{SPLIT_FILE} is not JSON (Expecting value: line 1 column 1 (char 0); it begins with '<html>'); mend it",
    ),
    'empty': (b'', f'{SPLIT_FILE} is not JSON (it is empty)'),
    'a dict': ({'refs': []}, f'{SPLIT_FILE} holds dict, expected a list of dicts, one for each ref'),
    'numbers': ([1, 2], f'{SPLIT_FILE} holds list, expected a list of dicts'),
    'key twice': (
        json.dumps(REFS).replace('"split"', '"ann_id"').encode(),
        f"{SPLIT_FILE} has an object with the key 'ann_id' twice (",
    ),
    'no ann_id': ({'ann_id': ...}, f"{ENTRY} lacks ['ann_id']; add it, or get the original file again"),
    'no sentences': (
        {'sentences': ...},
        f"{ENTRY} lacks ['sentences']; add what is missing, or get the original file again",
    ),
    'no ids': ({'ann_id': []}, f'{ENTRY} has ann_id [], expected a list of integers or strings, [-1] for no target'),
    'null': ({'ann_id': None}, f'{ENTRY} has ann_id None, expected a list of integers or strings'),
    'a float': ({'ann_id': [30.0]}, f'{ENTRY} has ann_id [30.0], expected a list of integers or strings'),
    'target and none': (
        {'ann_id': [30, -1]},
        f'{ENTRY} has ann_id [30, -1], of which -1 says that there is no target; take either it or the others away',
    ),
    'said to be absent': (
        {'no_target': True},
        f'{ENTRY} has no_target True, but ann_id [31, 32]; [-1] and true belong together',
    ),
    'said to be there': ({'ann_id': [-1]}, f'{ENTRY} has no_target False, but ann_id [-1]; [-1] and true belong'),
    'no_target a number': ({'no_target': 0}, f'{ENTRY} has no_target 0, expected true or false'),
    'split a number': ({'split': 1}, f"{ENTRY} has split 1, expected a string such as 'train'"),
    'sentences a string': ({'sentences': 'a'}, f"{ENTRY} has sentences 'a', expected a list of dicts"),
    'sentences empty': ({'sentences': []}, f'ref 0 of {SPLIT_FILE} has no sentence; leave it out of the file'),
    'ref_id twice': ({'ref_id': 1}, f'{SPLIT_FILE} has ref_id 1 twice: entry 0 (image_id 3) and entry 1 (image_id 3)'),
    'unknown annotation': (
        {'ann_id': [31, 77]},
        "ref 0 of '{root}/grefs(unc)' has ann_id 77, which '{root}/instances.json' does not have; take both files from",
    ),
    'ids of another type': (
        {'ann_id': ['31', '32']},
        "ref 0 of '{root}/grefs(unc)' has ann_id '31', which '{root}/instances.json' does not have; take both files "
        'from the same release, with ids of the same type',
    ),
    'unknown image': (
        {'image_id': 4},
        "ref 0 of '{root}/grefs(unc)' has image_id 4, which '{root}/instances.json' does",
    ),
    'of another image': (
        {'ann_id': [31, 10]},
        "ref 0 of '{root}/grefs(unc)' is on image 3, but its annotation 10 in '{root}/instances.json' is on image 1",
    ),
    'wordless': (
        {'sentences': [{'raw': '?'}]},
        f"sentence 0 of ref 0 of {SPLIT_FILE}, key 'raw': phrase '?' has no letter or digit",
    ),
    'no raw': ({'sentences': [{'sent': 'a'}]}, f"sentence 0 of ref 0 of {SPLIT_FILE} lacks ['raw']"),
}


@pytest.mark.parametrize('kind', BROKEN)
def test_broken_files_are_named(tmp_path, kind):
    change, message = BROKEN[kind]
    refs = change
    if isinstance(change, dict) and 'refs' not in change:
        refs = [{key: value for key, value in {**REFS[0], **change}.items() if value is not ...}, *REFS[1:]]
    with pytest.raises(ValueError, match=re.escape(message.replace('{root}', str(tmp_path)))):
        GRefCocoDataset(**write(tmp_path, refs=refs))


def test_a_malicious_pickle_does_not_run(tmp_path):
    files = write(tmp_path, refs=[*REFS, print], pickled=True)
    with pytest.raises(ValueError, match=r'is not a pickle of plain .*it asks for builtins\.print'):
        GRefCocoDataset(**files)


@pytest.mark.parametrize(('given', 'expected'), [(7, [7]), ('7', ['7']), (-1, []), (['-1'], []), ((7, 8), [7, 8])])
def test_forms_of_ann_id(tmp_path, given, expected):
    (tmp_path / 'grefs.p').write_bytes(pickle.dumps([gref(0, given, ['a'])]))
    assert load_grefs(str(tmp_path / 'grefs.p'))[0]['ann_id'] == expected


@needs_coco_mini
@pytest.mark.parametrize('split', ['train', 'val', 'testA', 'testB'])
def test_unions_of_coco_are_pycocotools(split):
    refs = [ref for ref in read(GREFCOCO['split_file']) if ref['split'] == split]
    annotations = {annotation['id']: annotation for annotation in read(GREFCOCO['ann_file'])['annotations']}
    found = masks_of(GREFCOCO, split=split)

    expected = [(sentence['raw'], ref) for ref in refs for sentence in ref['sentences']]
    assert [phrase for phrase, _ in found] == [phrase for phrase, _ in expected]
    for (_, mask), (_, ref) in zip(found, expected, strict=True):
        if ref['no_target']:
            assert not mask.any()
            continue
        rles = [annotations[ann_id]['segmentation'] for ann_id in ref['ann_id']]
        assert np.array_equal(mask, coco_mask.decode(coco_mask.merge(rles)).astype(bool))
        assert mask.sum() == sum(annotations[ann_id]['area'] for ann_id in ref['ann_id'])  # segments are disjoint


@needs_coco_mini
def test_counts_of_coco():
    counts = {
        split: [len(masks), sum(bool(mask.any()) for _, mask in masks)]
        for split in ('train', 'val', 'testA', 'testB')
        for masks in [masks_of(GREFCOCO, split=split)]
    }
    assert counts == {'train': [6, 5], 'val': [3, 1], 'testA': [2, 1], 'testB': [2, 1]}


@needs_coco_mini
def test_test_sets_of_grefcoco(wrapper):
    pipeline = [
        {'type': 'PILLoadImageFromFile'},
        {'type': 'LoadMasks'},
        {'type': 'RefCOCO2PNG', 'image_processor': wrapper, 'prompt': 'Where?'},
    ]
    with DefaultScope.overwrite_default_scope('flmm'):  # as a Runner does
        sets = RefCocoTestSets(
            dataset_type='GRefCocoDataset', name='grefcoco', splits=('val', 'testB'), pipeline=pipeline, **GREFCOCO
        )
    assert [type(part) for part in sets.datasets] == [GRefCocoDataset] * 4
    first, every = 'grefcoco_val_first_sentence', 'grefcoco_val_every_sentence'
    assert [part.name for part in sets.datasets][:2] == [first, every]
    assert sets[0].phrases == ['player at the right end of the group', 'the referee on a bicycle']
    assert sets[0].has_target.tolist() == [True, False]
    assert sets[1].phrases == [*sets[0].phrases, 'woman with an umbrella']
    assert sets[1].has_target.tolist() == [True, False, False]


@pytest.mark.parametrize('name', ['PNGDataset', 'GRefCoco'])
def test_test_sets_of_another_kind_are_refused(name):
    with pytest.raises(ValueError, match=f"dataset_type is '{name}', expected RefCocoDataset or a subclass"):
        RefCocoTestSets(dataset_type=name, name='a', splits=('val',), pipeline=[{}])
