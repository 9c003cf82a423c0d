"""Categories of COCO's instances as phrases, against pycocotools' COCO."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from flmm.datasets.importers import coco_items
from flmm.structures import PhraseInfo

CAT, CATS = [[1, 1, 5, 1, 5, 5, 1, 5]], [[6, 2, 9, 2, 9, 8, 6, 8], [0, 7, 3, 7, 3, 9]]
CROWD = {'size': [9, 10], 'counts': [70, 20]}
INSTANCES = {
    'images': [
        {'id': 2, 'file_name': 'b.jpg', 'height': 9, 'width': 10},
        {'id': 1, 'file_name': 'a.jpg', 'height': 9, 'width': 10},
        {'id': 3, 'file_name': 'c.jpg', 'height': 9, 'width': 10},
    ],
    'annotations': [
        {'id': 10, 'image_id': 1, 'category_id': 7, 'segmentation': CAT, 'iscrowd': 0},
        {'id': 11, 'image_id': 1, 'category_id': 5, 'segmentation': CROWD, 'iscrowd': 1},
        {'id': 12, 'image_id': 2, 'category_id': 7, 'segmentation': CATS, 'iscrowd': 0},
        {'id': 13, 'image_id': 1, 'category_id': 7, 'segmentation': CATS, 'iscrowd': 0},
        {'id': 14, 'image_id': 1, 'category_id': 5, 'segmentation': CAT, 'iscrowd': 0},
        {'id': 15, 'image_id': 2, 'category_id': 5, 'segmentation': CROWD, 'iscrowd': 1},
    ],
    'categories': [{'id': 5, 'name': 'person'}, {'id': 7, 'name': 'cat'}],
}


@pytest.fixture
def read(tmp_path):
    def read(content=INSTANCES, **kwargs):
        path = tmp_path / 'instances.json'
        path.write_text(json.dumps(content))
        return coco_items(str(path), **kwargs)

    return read


def test_a_category_means_all_its_instances(read, tmp_path):
    items, left_out = read()

    assert [(item.img_path, item.img_id, item.annotated_size) for item in items] == [
        ('b.jpg', 2, (9, 10)),
        ('a.jpg', 1, (9, 10)),
    ]
    assert left_out == ["image 3 ('c.jpg') has no annotation"]
    coco = COCO(str(tmp_path / 'instances.json'))
    for item in items:
        assert [target.texts[0][0] for target in item.targets] == ['person', 'cat']
        for target, category in zip(item.targets, (5, 7), strict=True):
            expected = sum(
                coco.annToMask(annotation)
                for annotation in coco.loadAnns(coco.getAnnIds(imgIds=item.img_id, catIds=category))
            )
            rle = (
                coco_mask.merge(coco_mask.frPyObjects(target.mask, 9, 10))
                if isinstance(target.mask, list)
                else target.mask
            )
            if isinstance(rle['counts'], list):
                rle = coco_mask.frPyObjects(rle, 9, 10)
            assert np.array_equal(coco_mask.decode(rle), expected > 0)
    plurals = [[target.texts[0][1] for target in item.targets] for item in items]
    assert plurals == [
        [PhraseInfo(thing=True, plural=True), PhraseInfo(thing=True, plural=False)],
        [PhraseInfo(thing=True, plural=True), PhraseInfo(thing=True, plural=True)],
    ]


def changed(**entry):
    return {**INSTANCES, 'annotations': [*INSTANCES['annotations'], {'id': 20, **INSTANCES['annotations'][0], **entry}]}


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ({'id': 20, 'segmentation': [[3, 3, 3, 3, 3, 3]]}, r"annotation 20 of .* has a polygon of one repeated point"),
        ({'id': 20, 'category_id': 9}, r'annotation 20 of .* has category_id 9, unknown to the file; mend it'),
        ({'id': 20, 'image_id': 9}, r'annotation 20 of .* has image_id 9, unknown to the file; mend it'),
        ({'id': 20, 'category_id': '7'}, r"annotation 20 of .* has category_id '7', unknown to the file; mend it"),
        ({'id': 20, 'iscrowd': '0'}, r"annotation 20 of .* has iscrowd '0', expected 0 or 1"),
    ],
)  # fmt: skip
def test_broken_annotations_stop_it_or_are_left_out_with_a_word(read, entry, message):
    with pytest.raises(ValueError, match=message):
        read(changed(**entry))

    items, left_out = read(changed(**entry), skip_broken=True)

    assert items == read()[0]
    assert len(left_out) == 2
    with pytest.raises(ValueError, match=message):
        raise ValueError(left_out[0])


CATEGORY = r"category 5 of ann_file '.*instances\.json'"


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'categories': []}, r"ann_file '.*' has no categories, whose names are the phrases"),
        ({'categories': {'5': 'cat'}}, r"'categories' of ann_file '.*' is .*, expected a list of dicts"),
        ({'categories': [{'id': 5}]}, rf"{CATEGORY} lacks \['name'\]"),
        ({'categories': [{'id': 5, 'name': 3}]}, rf"{CATEGORY}, key 'name': phrase 3 is of type int"),
        ({'categories': [{'id': 5, 'name': ''}]}, rf"{CATEGORY}, key 'name': phrase '' has no letter or digit"),
        ({'categories': [{'id': 5, 'name': 'a'}, {'id': 5, 'name': 'b'}]}, "has id 5 twice: entry 0 .name 'a'. and en"),
        (
            {'images': [{'id': 1, 'file_name': '../a.jpg'}]},
            r"image 1 of ann_file '.*', key 'file_name': path '\.\./a\.jpg'",
        ),
        (
            {'images': [{'id': 1, 'file_name': 'a.jpg'}, {'id': 2, 'file_name': './a.jpg'}]},
            r"image 2 of ann_file '.*' has the file_name '\./a\.jpg' of image 1; make one entry of both",
        ),
    ],
)
def test_broken_files_are_refused(read, content, message):
    with pytest.raises(ValueError, match=message):
        read({**INSTANCES, **content})
