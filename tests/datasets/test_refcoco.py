"""RefCocoDataset on a small dataset written here, and against mmdet's on the real COCO image."""

import json
import os
import pickle
import random
import re

import numpy as np
import pytest
from mmdet.datasets import RefCocoDataset as MMDetRefCocoDataset
from mmdet.datasets.transforms import LoadAnnotations

from flmm.datasets import LoadMasks, PILLoadImageFromFile, RefCocoDataset
from flmm.registry import DATASETS

SQUARE, TRIANGLE = [[1, 1, 5, 1, 5, 5, 1, 5]], [[2, 2, 8, 2, 8, 8]]
RLE = {'size': [9, 9], 'counts': [10, 5, 66]}
INSTANCES = {
    'images': [{'id': 3, 'file_name': 'three.jpg'}, {'id': 1, 'file_name': 'one.jpg'}],
    'annotations': [
        {'id': 30, 'image_id': 3, 'segmentation': SQUARE},
        {'id': 31, 'image_id': 3, 'segmentation': RLE},
        {'id': 10, 'image_id': 1, 'segmentation': TRIANGLE},
    ],
}


def ref(ref_id, ann_id, image_id, sentences, split='train'):
    return {
        'ref_id': ref_id,
        'ann_id': ann_id,
        'image_id': image_id,
        'split': split,
        'sentences': [{'raw': sentence} if isinstance(sentence, str) else sentence for sentence in sentences],
    }


# Image 1 comes first in the refs and last in the instances; annotation 30 has two refs, with one of image 1 between.
REFS = [
    ref(4, 10, 1, ['The Triangle', 'right']),
    ref(0, 30, 3, ['Square', 'the square', 'it']),
    ref(1, 31, 3, ['stripe', 'the line']),
    ref(2, 30, 3, ['left thing', 'the box']),
    ref(3, 10, 1, [{'raw': 'tip', 'kind': 'name'}, {'raw': 'the tip', 'kind': 'clause'}], split='val'),
]


def write_dataset(root, *, refs=REFS, instances=INSTANCES):
    """Write both files; return RefCocoDataset's arguments."""
    (root / 'refcoco').mkdir()
    (root / 'refcoco' / 'refs(unc).p').write_bytes(pickle.dumps(refs))
    content = instances if isinstance(instances, str) else json.dumps(instances)
    (root / 'refcoco' / 'instances.json').write_text(content)
    return {
        'data_root': str(root),
        'data_prefix': {'img_path': 'train2014/'},
        'ann_file': 'refcoco/instances.json',
        'split_file': 'refcoco/refs(unc).p',
        'serialize_data': False,  # mmengine collects garbage for each dataset that it serializes
    }


@pytest.fixture
def files(tmp_path):
    return write_dataset(tmp_path)


def phrases(dataset):
    return [dataset.get_data_info(index)['text'] for index in range(len(dataset))]


def annotation_ids(dataset):
    return [
        [instance['ann_id'] for instance in dataset.get_data_info(index)['instances']] for index in range(len(dataset))
    ]


@pytest.mark.parametrize(
    ('text_mode', 'texts', 'ann_ids'),
    [
        ('select_first', [['the triangle'], ['square', 'stripe', 'left thing']], [[10], [30, 31, 30]]),
        (
            'original',
            [
                ['the triangle', 'right'],
                ['square', 'the square', 'it', 'stripe', 'the line', 'left thing', 'the box'],
            ],
            [[10, 10], [30, 30, 30, 31, 31, 30, 30]],
        ),
        (
            'concat',
            [['the triangle right'], ['square the square it', 'stripe the line', 'left thing the box']],
            [[10], [30, 31, 30]],
        ),
    ],
)
def test_text_modes(files, text_mode, texts, ann_ids):
    dataset = RefCocoDataset(split='train', text_mode=text_mode, **files)

    assert phrases(dataset) == texts
    assert annotation_ids(dataset) == ann_ids
    assert phrases(dataset) == texts  # reading an item does not change it


def test_items_say_where_they_come_from(files, tmp_path):
    dataset = RefCocoDataset(split='train', text_mode='select_first', **files)

    first, second = dataset.get_data_info(0), dataset.get_data_info(1)

    assert first == {
        'img_path': str(tmp_path / 'train2014' / 'one.jpg'),
        'img_id': 1,
        'dataset_name': 'train',
        'instances': [{'mask': TRIANGLE, 'ann_id': 10, 'ignore_flag': 0}],
        'text': ['the triangle'],
        'text_kinds': None,
        'sample_idx': 0,
    }
    assert second['img_path'] == str(tmp_path / 'train2014' / 'three.jpg')
    assert [instance['mask'] for instance in second['instances']] == [SQUARE, RLE, SQUARE]
    assert dataset.get_data_info(-1) == second


def test_names_and_kinds(files):
    named = RefCocoDataset(name='refcoco_val', split='val', text_mode='original', **files)

    item = named.get_data_info(0)

    assert item['dataset_name'] == 'refcoco_val'
    assert item['text'] == ['tip', 'the tip']
    assert item['text_kinds'] == ['name', 'clause']
    assert RefCocoDataset(split='val', text_mode='concat', **files).get_data_info(0)['text_kinds'] is None
    assert RefCocoDataset(split='val', text_mode='concat', **files).get_data_info(0)['dataset_name'] == 'val'


def test_random_draws_anew_at_each_access_and_follows_the_seed(files):
    dataset = RefCocoDataset(**files)  # 'train' and 'random' are the defaults
    assert (dataset.split, dataset.text_mode) == ('train', 'random')

    random.seed(5)
    drawn = [dataset.get_data_info(1)['text'] for _ in range(40)]

    random.seed(5)
    sentences = [[sentence['raw'].lower() for sentence in REFS[index]['sentences']] for index in (1, 2, 3)]
    assert drawn == [[random.choice(choices) for choices in sentences] for _ in range(40)]
    assert {text[0] for text in drawn} == set(sentences[0])
    assert annotation_ids(dataset)[1] == [30, 31, 30]


def test_serialized_or_not_the_items_are_equal(files):
    serialized = RefCocoDataset(text_mode='original', **{**files, 'serialize_data': True})
    plain = RefCocoDataset(text_mode='original', **files)

    for index in range(2):
        assert plain.get_data_info(index) == serialized.get_data_info(index)
        assert plain.get_data_info(index) == serialized.get_data_info(index)


def test_prefix_may_be_a_url(files):
    files['data_prefix'] = {'img_path': 'http://images.cocodataset.org/train2014/'}

    dataset = RefCocoDataset(text_mode='select_first', **files)

    assert dataset.get_data_info(0)['img_path'] == 'http://images.cocodataset.org/train2014/one.jpg'


@pytest.mark.parametrize(
    'file_name', ['../secret.jpg', 'sub/../../secret.jpg', '/etc/secret.jpg', 'link.jpg', '', None, 7]
)
@pytest.mark.parametrize('prefix', ['train2014/', 'http://images.cocodataset.org/train2014/', 's3://bucket/train2014'])
def test_images_lie_below_the_prefix(tmp_path, prefix, file_name):
    images = [{**image, 'file_name': file_name} for image in INSTANCES['images']]
    files = write_dataset(tmp_path, instances={**INSTANCES, 'images': images})
    files['data_prefix'] = {'img_path': prefix}
    (tmp_path / 'train2014').mkdir()
    (tmp_path / 'train2014' / 'link.jpg').symlink_to('../secret.jpg')

    def path(**kwargs):
        return RefCocoDataset(text_mode='select_first', **files, **kwargs).get_data_info(0)['img_path']

    if file_name == 'link.jpg' and '://' in prefix:
        assert path() == f'{prefix.rstrip("/")}/link.jpg'
        return
    with pytest.raises(ValueError, match=rf'path {re.escape(repr(file_name))} '):
        path()
    if file_name and isinstance(file_name, str):
        root = prefix if '://' in prefix else str(tmp_path / prefix)
        assert path(allow_outside=True) == os.path.join(root, file_name)


def test_the_image_folder_may_be_a_link(tmp_path):
    files = write_dataset(tmp_path)
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'train2014').symlink_to('elsewhere')

    dataset = RefCocoDataset(text_mode='select_first', **files)

    assert dataset.get_data_info(0)['img_path'] == str(tmp_path / 'train2014' / 'one.jpg')


def test_configs_build_it_and_the_pipeline_gets_its_items(files):
    config = {'type': 'RefCocoDataset', 'split': 'val', 'text_mode': 'select_first', 'test_mode': True, **files}

    dataset = DATASETS.build({**config, 'pipeline': [lambda item: (item['text'], item['sample_idx'])]})

    assert type(dataset) is RefCocoDataset
    assert list(dataset) == [(['tip'], 0)]


@pytest.mark.parametrize('text_mode', ['first', 'Random', '', None])
def test_mistaken_text_mode_is_refused(files, text_mode):
    expected = r"\('select_first', 'original', 'random', 'concat'\)"
    with pytest.raises(ValueError, match=f'text_mode is {text_mode!r}, expected one of {expected}'):
        RefCocoDataset(text_mode=text_mode, **files)


def test_unknown_split_is_refused(files):
    with pytest.raises(ValueError, match=r"no sample in split 'testC' of '.*refs\(unc\)\.p'; check split"):
        RefCocoDataset(split='testC', **files)


def test_missing_files_are_named(files):
    with pytest.raises(ValueError, match=r"ann_file '.*nowhere\.json' does not exist"):
        RefCocoDataset(**{**files, 'ann_file': 'refcoco/nowhere.json'})
    with pytest.raises(ValueError, match=r"split_file '.*refs\(umd\)\.p' does not exist"):
        RefCocoDataset(**{**files, 'split_file': 'refcoco/refs(umd).p'})


@pytest.mark.parametrize(
    ('instances', 'message'),
    [
        ('{"images": [', r"ann_file '.*instances\.json' is not JSON"),
        ('[]', r"ann_file '.*instances\.json' has no 'images' and 'annotations'"),
        ('{"images": []}', r"ann_file '.*instances\.json' has no 'images' and 'annotations'"),
    ],
)
def test_malformed_instances_are_named(tmp_path, instances, message):
    with pytest.raises(ValueError, match=message):
        RefCocoDataset(**write_dataset(tmp_path, instances=instances))


@pytest.mark.parametrize(
    ('mistaken', 'message'),
    [
        (
            ref(9, 30, 77, ['a']),
            r"ref 9 of '.*refs\(unc\)\.p' has image_id 77, which '.*instances\.json' does not have",
        ),
        (ref(9, 99, 3, ['a']), r"ref 9 of '.*refs\(unc\)\.p' has ann_id 99, which '.*instances\.json' does not have"),
        (
            ref(9, 30, 1, ['a']),
            r"ref 9 of '.*refs\(unc\)\.p' is on image 1, but its annotation 30 in '.*' is on image 3; take both files",
        ),
    ],
)
def test_refs_of_another_release_are_refused(tmp_path, mistaken, message):
    files = write_dataset(tmp_path, refs=[*REFS, mistaken])

    with pytest.raises(ValueError, match=message):
        RefCocoDataset(**files)


def test_malicious_refs_do_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'made'),)

    files = write_dataset(tmp_path, refs=[*REFS, Payload()])

    with pytest.raises(ValueError, match=r'it asks for posix\.mkdir'):
        RefCocoDataset(**files)
    assert not (tmp_path / 'made').exists()


@pytest.mark.parametrize('split', ['train', 'val', 'testA', 'testB'])
@pytest.mark.parametrize('text_mode', ['select_first', 'original'])
def test_equals_mmdet_on_coco(coco_mini, split, text_mode):
    ours = RefCocoDataset(split=split, text_mode=text_mode, pipeline=[PILLoadImageFromFile(), LoadMasks()], **coco_mini)
    theirs = MMDetRefCocoDataset(
        split=split,
        text_mode=text_mode,
        pipeline=[PILLoadImageFromFile(), LoadAnnotations(with_bbox=False, with_label=False, with_mask=True)],
        **coco_mini,
    )

    assert len(ours) == len(theirs) == 1
    our_item, their_item = ours[0], theirs[0]
    for key in ('img_path', 'img_id', 'text', 'sample_idx', 'ori_shape'):
        assert our_item[key] == their_item[key], key
    masks = our_item['gt_masks'].to_ndarray()
    assert np.array_equal(masks, their_item['gt_masks'].to_ndarray())
    assert masks.shape == (len(our_item['text']), 480, 640)
    assert masks.any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    ('text_mode', 'texts'),
    [
        ('select_first', ['left cat', 'right cat']),
        (
            'original',
            [
                'left cat',
                'cat on the left side',
                'the striped cat lying next to the left remote',
                'right cat',
                'cat on the right',
            ],
        ),
        (
            'concat',
            [
                'left cat cat on the left side the striped cat lying next to the left remote',
                'right cat cat on the right',
            ],
        ),
    ],
)
def test_phrases_of_coco(coco_mini, text_mode, texts):
    item = RefCocoDataset(split='train', text_mode=text_mode, **coco_mini).get_data_info(0)

    assert item['text'] == texts
    left, right = 2190839, 2190842
    ann_ids = [left, left, left, right, right] if text_mode == 'original' else [left, right]
    assert [instance['ann_id'] for instance in item['instances']] == ann_ids
