"""Any dataset as JSON lines: read back, it gives the same phrases and masks."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flmm.datasets import GroundingDataset, Item, JsonLinesDataset, LoadMasks, RefCocoDataset, Target
from flmm.datasets.importers import items_to_lines, to_json_lines
from flmm.datasets.importers.coco import coco_items
from flmm.rle import encode_masks
from flmm.structures import PhraseInfo

COCO_MINI = Path(__file__).parents[4] / 'shared' / 'coco_mini'
POLYGONS = [[2, 1, 6, 1, 6, 4, 2, 4]]
RLE = {'size': [6, 8], 'counts': [40, 2, 4, 2]}
SIZE = (6, 8)


class Fixed(GroundingDataset):
    """Gives items that a test has made."""

    def __init__(self, items, **kwargs):
        self.items = items
        super().__init__(name='fixed', text_mode='original', serialize_data=False, **kwargs)

    def load_items(self):
        return self.items


def read_back(lines, folder, **kwargs):
    (folder / 'data.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return JsonLinesDataset(
        data_root=str(folder), ann_file='data.jsonl', text_mode='original', serialize_data=False, **kwargs
    )


def all_of(dataset, key='gt_masks'):
    found = []
    for item in dataset:
        height, width = item['annotated_size']
        loaded = LoadMasks().transform({**item, 'height': height, 'width': width})
        masks = loaded[key].to_ndarray().astype(bool) if key in loaded else None
        found.append((item['text'], item['phrase_infos'], masks))
    return found


def assert_same(found, expected):
    assert [entry[:2] for entry in found] == [entry[:2] for entry in expected]
    for (*_, masks), (*_, reference) in zip(found, expected, strict=True):
        assert np.array_equal(masks, reference)


def target(mask, *texts, ignore=None, **info):
    return Target(texts=[(text, PhraseInfo(**info)) for text in texts or ['it']], mask=mask, ignore=ignore)


def test_every_form_of_a_mask_and_all_that_is_said_of_a_phrase(tmp_path):
    mask = str(tmp_path / 'mask.png')
    Image.fromarray(np.eye(6, 8, dtype=np.uint8)).save(mask)
    panoptic = str(tmp_path / 'panoptic.png')
    Image.fromarray(np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)).save(panoptic)
    (compressed,) = encode_masks(np.eye(6, 8, dtype=bool)[None])
    segment = 3 + 256 * 4 + 65536 * 5
    kinds = [('a', PhraseInfo(kind='name', thing=True)), ('b', PhraseInfo(thing=True))]
    targets = [
        target(POLYGONS, 'a', 'b', thing=True, plural=False),
        target(RLE, ignore=POLYGONS),
        target(compressed, kind='name'),
        target({**compressed, 'counts': compressed['counts'].encode()}),
        target({'png': mask}),
        target({'panoptic': panoptic, 'ids': [segment]}),
        target({'union': [POLYGONS, {'png': mask}]}, ignore={'png': mask}),
        target(None, plural=True),
        Target(texts=kinds, mask=POLYGONS),
    ]
    items = [Item(img_path=str(tmp_path / 'images' / 'a.jpg'), img_id=1, annotated_size=SIZE, targets=targets)]
    dataset = Fixed(items, data_root=str(tmp_path), data_prefix={'img_path': 'images'})

    lines = to_json_lines([('val', dataset)])

    found = read_back(lines, tmp_path, split='val', data_prefix={'img_path': 'images'})
    assert found.get_data_info(0)['img_path'] == items[0].img_path
    assert lines[0].keys() == {'image', 'height', 'width', 'split', 'phrases'}
    assert lines[0]['phrases'][0] == {'phrase': ['a', 'b'], 'polygons': POLYGONS, 'thing': True, 'plural': False}
    assert lines[0]['phrases'][-1]['kind'] == ['name', None]
    for key in ('gt_masks', 'ignore_masks'):
        assert_same(all_of(found, key), all_of(dataset, key))


@pytest.mark.parametrize('prefix', ['images', 'images/', '', 's3://bucket/images'])
def test_images_are_named_below_their_folder(tmp_path, prefix):
    dataset = Fixed([], data_root=None if '://' in prefix else str(tmp_path), data_prefix={'img_path': prefix})
    path = dataset.image_path('sub/a.jpg', where='')
    dataset.items = [Item(img_path=path, img_id=1, annotated_size=SIZE, targets=[target(None)])]

    assert to_json_lines([(None, dataset)]) == [
        {'image': 'sub/a.jpg', 'height': 6, 'width': 8, 'phrases': [{'phrase': 'it', 'no_target': True}]}
    ]


def test_captions_stay_what_they_are(tmp_path):
    caption = [1, ' sits on\n', 0, '.']
    targets = [target(POLYGONS, 'a  Mat'), target(None, 'The cat')]
    items = [
        Item(img_path='a.jpg', img_id=1, annotated_size=SIZE, targets=targets, caption=caption),
        Item(img_path='b.jpg', img_id=2, annotated_size=SIZE, targets=targets),
    ]
    found = read_back(items_to_lines([(None, item.img_path, item) for item in items]), tmp_path)
    assert [item['text'] for item in found] == [['a  Mat', 'The cat']] * 2
    assert [item.get('caption') for item in found] == [caption, None]


def test_items_of_one_image_get_ids():
    items = [
        (split, image, Item(img_path=image, img_id=0, annotated_size=None, targets=[target(None)]))
        for split, image in (('train', 'a.jpg'), ('train', 'b.jpg'), ('val', 'a.jpg'))
    ]
    lines = list(items_to_lines(items))
    assert [line.get('id') for line in lines] == [1, None, 2]
    assert [line['split'] for line in lines] == ['train', 'train', 'val']


def test_what_one_target_cannot_be_is_refused():
    texts = [('a', PhraseInfo(plural=True)), ('b', PhraseInfo(plural=False))]
    item = Item(img_path='a.jpg', img_id=0, annotated_size=SIZE, targets=[Target(texts=texts, mask=None)])
    with pytest.raises(
        ValueError, match=r"phrases \('a', 'b'\) of image 'a\.jpg' mean one target and differ in plural"
    ):
        list(items_to_lines([(None, 'a.jpg', item)]))


@pytest.mark.skipif(not COCO_MINI.is_dir(), reason='the folder coco_mini is not beside the checkout')
@pytest.mark.parametrize('split', ['train', 'val', 'testA', 'testB'])
def test_refcoco_on_a_real_image(tmp_path, split):
    files = {'ann_file': 'refcoco/instances.json', 'split_file': 'refcoco/refs(unc).p', 'serialize_data': False}
    prefix = {'img_path': 'train2014'}
    dataset = RefCocoDataset(data_root=str(COCO_MINI), data_prefix=prefix, split=split, text_mode='original', **files)

    lines = to_json_lines([(split, dataset)])

    assert_same(all_of(read_back(lines, tmp_path, split=split)), all_of(dataset))


@pytest.mark.skipif(not COCO_MINI.is_dir(), reason='the folder coco_mini is not beside the checkout')
def test_coco_instances_of_a_real_image(tmp_path):
    items, left_out = coco_items(str(COCO_MINI / 'refcoco' / 'instances.json'))
    lines = list(items_to_lines((None, item.img_path, item) for item in items))

    assert left_out == []
    assert_same(all_of(read_back(lines, tmp_path)), all_of(Fixed(items)))
