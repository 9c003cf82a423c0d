"""Files on disk: the layouts of RefCOCO and PNG, field by field, and what was drawn, pixel by pixel."""

import importlib
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from flmm.shapes import DIFFICULTY, KINDS, SPLITS, build_dataset, generate_split, write_png, write_refcoco

NUM_IMAGES = {'train': 8, 'val': 3, 'testA': 2, 'testB': 2}
SEED = 4


def scenes(split, difficulty='hard'):
    return generate_split(seed=SEED, split=split, num_images=NUM_IMAGES[split], config=DIFFICULTY[difficulty])


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('shapes')
    build_dataset(root, num_images=NUM_IMAGES, difficulty='hard', seed=SEED)
    return root


@pytest.fixture(scope='module')
def samples():
    return {sample.image_id: sample for split in SPLITS for sample in scenes(split)}


def read_json(path):
    return json.loads(path.read_text())


def read_refs(root):
    with (root / 'refcoco' / 'refs(unc).p').open('rb') as file:
        return pickle.load(file)


def decode(segmentation, height, width):
    if isinstance(segmentation, list):
        return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))).astype(bool)
    return coco_mask.decode(segmentation).astype(bool)


def field_types(record):
    return {key: type(value) for key, value in record.items()}


def test_instances_have_cocos_fields(root):
    instances = read_json(root / 'refcoco' / 'instances.json')
    assert list(instances) == ['info', 'licenses', 'images', 'annotations', 'categories']
    assert [category['name'] for category in instances['categories']] == list(KINDS)
    for image in instances['images']:
        assert field_types(image) == {'id': int, 'file_name': str, 'height': int, 'width': int}
    for annotation in instances['annotations']:
        fields = field_types(annotation)
        assert fields.pop('segmentation') in (list, dict)
        assert fields == {
            'area': float, 'iscrowd': int, 'image_id': int, 'bbox': list, 'category_id': int, 'id': int
        }  # fmt: skip
        assert all(type(value) is float for value in annotation['bbox'])
    ids = [annotation['id'] for annotation in instances['annotations']]
    assert len(ids) == len(set(ids))


def test_refs_have_refcocos_fields_and_the_kinds(root, samples):
    refs = read_refs(root)
    annotations = {a['id']: a for a in read_json(root / 'refcoco' / 'instances.json')['annotations']}
    assert [ref['ref_id'] for ref in refs] == list(range(len(refs)))
    assert {ref['split'] for ref in refs} == set(SPLITS)
    sent_ids = [sent_id for ref in refs for sent_id in ref['sent_ids']]
    assert sent_ids == list(range(len(sent_ids)))
    for ref in refs:
        assert field_types(ref) == {
            'sent_ids': list, 'file_name': str, 'ann_id': int, 'ref_id': int, 'image_id': int, 'split': str,
            'sentences': list, 'category_id': int,
        }  # fmt: skip
        assert annotations[ref['ann_id']]['image_id'] == ref['image_id']
        assert annotations[ref['ann_id']]['category_id'] == ref['category_id']
        assert [sentence['sent_id'] for sentence in ref['sentences']] == ref['sent_ids']
        for sentence in ref['sentences']:
            assert field_types(sentence) == {'tokens': list, 'raw': str, 'sent_id': int, 'sent': str, 'kind': str}
            assert ' '.join(sentence['tokens']) == sentence['sent'] == sentence['raw']
    drawn = [
        [(sentence.text, sentence.kind) for sentence in reference.sentences]
        for sample in samples.values()
        for reference in sample.references
    ]
    assert [[(sentence['raw'], sentence['kind']) for sentence in ref['sentences']] for ref in refs] == drawn


def test_grefs_have_grefcocos_fields_and_the_kinds(root, samples):
    assert read_json(root / 'grefcoco' / 'instances.json') == read_json(root / 'refcoco' / 'instances.json')
    grefs = read_json(root / 'grefcoco' / 'grefs(shapes).json')
    annotations = {a['id']: a for a in read_json(root / 'grefcoco' / 'instances.json')['annotations']}
    assert [gref['ref_id'] for gref in grefs] == list(range(len(grefs)))
    sent_ids = [sent_id for gref in grefs for sent_id in gref['sent_ids']]
    assert sent_ids == list(range(len(sent_ids)))
    for gref in grefs:
        assert field_types(gref) == {
            'sent_ids': list, 'file_name': str, 'ann_id': list, 'ref_id': int, 'image_id': int, 'split': str,
            'sentences': list, 'category_id': list, 'no_target': bool,
        }  # fmt: skip
        assert gref['file_name'] == f'{gref["image_id"]:012d}.jpg'
        assert gref['no_target'] == (gref['ann_id'] == [-1]) == (gref['category_id'] == [-1])
        if not gref['no_target']:
            found = [annotations[ann_id] for ann_id in gref['ann_id']]
            assert {annotation['image_id'] for annotation in found} == {gref['image_id']}
            assert [annotation['category_id'] for annotation in found] == gref['category_id']
        assert [sentence['sent_id'] for sentence in gref['sentences']] == gref['sent_ids']
        for sentence in gref['sentences']:
            assert field_types(sentence) == {
                'tokens': list, 'raw': str, 'sent_id': int, 'sent': str, 'kind': str, 'exist': bool
            }  # fmt: skip
            assert ' '.join(sentence['tokens']) == sentence['sent'] == sentence['raw']
            assert sentence['exist'] == (not gref['no_target']) == (not sentence['kind'].startswith('absent'))
    drawn = [
        ([sample.masks[i].sum() for i in reference.shape_indices], [each.text for each in reference.sentences])
        for sample in samples.values()
        for reference in sample.generalized_references
    ]
    written = [
        ([annotations[i]['area'] for i in gref['ann_id'] if i != -1], [each['raw'] for each in gref['sentences']])
        for gref in grefs
    ]
    assert written == drawn
    assert {len(areas) for areas, _ in written} >= {0, 1, 2}


def test_refs_pickle_names_no_class(root):
    class Plain(pickle.Unpickler):
        def find_class(self, module, name):
            raise AssertionError(f'{module}.{name}')

    with (root / 'refcoco' / 'refs(unc).p').open('rb') as file:
        assert file.read(2) == b'\x80\x02'  # protocol 2
        file.seek(0)
        assert len(Plain(file).load()) > 0


def test_annotations_are_the_visible_pixels(root, samples):
    instances = read_json(root / 'refcoco' / 'instances.json')
    drawn = [
        (image_id, shape, mask)
        for image_id, sample in samples.items()
        for shape, mask in zip(sample.scene.shapes, sample.masks, strict=True)
        if mask.any()
    ]
    forms = set()
    for annotation, (image_id, shape, mask) in zip(instances['annotations'], drawn, strict=True):
        decoded = decode(annotation['segmentation'], *mask.shape)
        forms.add(type(annotation['segmentation']))
        if isinstance(annotation['segmentation'], dict):
            assert type(annotation['segmentation']['counts']) is str
            assert (decoded == mask).all()
        else:
            assert shape.kind != 'ring'
            assert (decoded & mask).sum() / (decoded | mask).sum() >= 0.98
        assert annotation['image_id'] == image_id
        assert annotation['area'] == mask.sum()
        left, top, width, height = (int(value) for value in annotation['bbox'])
        assert mask[top : top + height, left : left + width].sum() == mask.sum()
        assert mask[[top, top + height - 1]].any(axis=1).all()
        assert mask[:, [left, left + width - 1]].any(axis=0).all()
    assert forms == {list, dict}


def test_images_are_the_drawn_ones(root, samples):
    for image in read_json(root / 'refcoco' / 'instances.json')['images']:
        drawn = samples[image['id']].image
        with Image.open(root / 'images' / image['file_name']) as file:
            read = np.asarray(file)
        assert read.shape == (image['height'], image['width'], 3) == drawn.shape
        assert np.abs(read.astype(int) - drawn).mean() < 6
    assert len(list((root / 'images').iterdir())) == sum(NUM_IMAGES.values())


@pytest.mark.parametrize('split', SPLITS)
def test_mmdet_reads_the_layout(root, samples, split):
    importlib.import_module('flmm.registry')  # stands in for mmcv's compiled ops, before mmdet is imported
    from mmdet.datasets import RefCocoDataset

    dataset = RefCocoDataset(
        data_root=str(root),
        ann_file='refcoco/instances.json',
        split_file='refcoco/refs(unc).p',
        data_prefix={'img_path': 'images/'},
        split=split,
        text_mode='original',
    )
    expected = {image_id: samples[image_id] for image_id in (sample.image_id for sample in scenes(split))}
    assert len(dataset) == len(expected)
    for item in (dataset.get_data_info(index) for index in range(len(dataset))):
        sample = expected[item['img_id']]
        assert Image.open(item['img_path']).size == (sample.scene.width, sample.scene.height)
        pairs = [(sentence.text, *ref.shape_indices) for ref in sample.references for sentence in ref.sentences]
        assert item['text'] == [text for text, _ in pairs]
        for instance, (_, index) in zip(item['instances'], pairs, strict=True):
            decoded, mask = decode(instance['mask'], *sample.image.shape[:2]), sample.masks[index]
            assert (decoded & mask).sum() / (decoded | mask).sum() >= 0.98


@pytest.mark.parametrize('split', ['train', 'val'])
def test_png_layout(root, samples, split):
    narratives = read_json(root / 'annotations' / f'png_coco_{split}.json')
    panoptic = read_json(root / 'annotations' / f'panoptic_{split}.json')
    assert list(panoptic) == ['images', 'annotations', 'categories']
    assert [category['isthing'] for category in panoptic['categories']] == [1] * len(KINDS) + [0]
    assert len(narratives) == len(panoptic['annotations']) == len(panoptic['images']) == NUM_IMAGES[split]
    for narrative, annotation, image in zip(narratives, panoptic['annotations'], panoptic['images'], strict=True):
        sample = samples[annotation['image_id']]
        assert field_types(image) == {'id': int, 'file_name': str, 'height': int, 'width': int}
        assert field_types(annotation) == {'image_id': int, 'file_name': str, 'segments_info': list}
        assert field_types(narrative) == {'image_id': str, 'caption': str, 'annotator_id': int, 'segments': list}
        assert narrative['image_id'] == str(annotation['image_id']) == str(image['id'])
        assert (root / 'images' / image['file_name']).is_file()

        with Image.open(root / 'annotations' / f'panoptic_{split}' / annotation['file_name']) as file:
            assert file.mode == 'RGB'
            ids = np.asarray(file).astype(int) @ [1, 256, 65536]
        masks = {}
        for segment in annotation['segments_info']:
            assert field_types(segment) == {'id': int, 'category_id': int, 'iscrowd': int, 'bbox': list, 'area': int}
            assert all(type(value) is int for value in segment['bbox'])
            masks[str(segment['id'])] = ids == segment['id']
            assert segment['area'] == (ids == segment['id']).sum()
            left, top, width, height = segment['bbox']
            assert (ids[top : top + height, left : left + width] == segment['id']).sum() == segment['area']
        assert '0' not in masks
        assert set(map(str, np.unique(ids).tolist())) == set(masks)
        visible = [mask for mask in sample.masks if mask.any()] + [~sample.masks.any(axis=0)]
        assert all((a == b).all() for a, b in zip(masks.values(), visible, strict=True))

        assert ''.join(segment['utterance'] for segment in narrative['segments']) == narrative['caption']
        for segment in narrative['segments']:
            assert field_types(segment) == {'utterance': str, 'segment_ids': list, 'plural': bool, 'noun': bool}
            assert set(segment['segment_ids']) <= set(masks)
            assert segment['noun'] == bool(segment['segment_ids'])
            assert segment['plural'] == (len(segment['segment_ids']) > 1)
        *_, background = narrative['segments']
        assert background['utterance'] == ' the background'


def test_panoptic_ids_stay_unique_when_colours_are_equal(tmp_path):
    sample = next(scenes('train'))
    shapes = tuple(replace(shape, rgb=(200, 200, 200)) for shape in sample.scene.shapes)  # the background's, too
    write_png(tmp_path, 'train', [replace(sample, scene=replace(sample.scene, shapes=shapes))])
    (annotation,) = read_json(tmp_path / 'annotations' / 'panoptic_train.json')['annotations']
    ids = [segment['id'] for segment in annotation['segments_info']]
    assert len(ids) == len(set(ids)) == len(shapes) + 1


def test_image_ids_must_differ(tmp_path):
    sample = next(scenes('val', 'easy'))
    with pytest.raises(ValueError, match=rf'Image ids \[{sample.image_id}\] occur more than once'):
        write_refcoco(tmp_path, {'train': [sample], 'val': [sample]})
    with pytest.raises(ValueError, match='give every scene its own image_id'):
        write_png(tmp_path, 'val', [sample, sample])


def test_image_folder_can_be_named(tmp_path):
    assert write_refcoco(tmp_path, {'val': scenes('val', 'easy')}, image_folder='train2014')['val'] > 0
    assert len(list((tmp_path / 'train2014').glob('*.jpg'))) == NUM_IMAGES['val']


def file_bytes(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def test_workers_write_the_same_bytes(root, tmp_path):
    build_dataset(tmp_path, num_images=NUM_IMAGES, difficulty='hard', seed=SEED, workers=2)
    assert file_bytes(tmp_path) == file_bytes(root)


def test_a_built_dataset_is_left_alone_or_overwritten_on_demand(tmp_path):
    arguments = {'num_images': {'train': 2}, 'difficulty': 'easy'}
    summary = build_dataset(tmp_path, **arguments)
    assert summary['references'].keys() == summary['noun_segments'].keys() == {'train'}
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')}
    assert build_dataset(tmp_path, **arguments) is None
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')} == times
    message = rf'{tmp_path} holds shapes of other parameters.*delete this one, or set overwrite'
    with pytest.raises(ValueError, match=message):
        build_dataset(tmp_path, seed=1, **arguments)
    build_dataset(tmp_path, seed=1, num_images={'train': 1}, overwrite=True)
    assert len(list((tmp_path / 'images').iterdir())) == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_images': {'test': 3}}, r"Unknown splits \['test'\] in num_images: choose from"),
        ({'num_images': {'train': -1}}, r"num_images={'train': -1}: give counts of 0 or more"),
        ({'num_images': {'train': 0}}, 'at least one scene'),
        ({'difficulty': 'brutal'}, r"Unknown difficulty 'brutal': choose one of \('easy', 'medium', 'hard'\)"),
        ({'seed': -3}, 'seed=-3 is negative: give 0 or more'),
        ({'workers': 0}, 'workers=0: at least one process must draw'),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        build_dataset(tmp_path, **{'num_images': {'train': 1}, **arguments})
    assert not list(tmp_path.iterdir())
