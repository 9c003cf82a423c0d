"""What is true: what is completed, and what is refused by name."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from flmm.reinforce import parse_truth
from flmm.rle import encode_masks

SIZE = (40, 30)


@pytest.fixture
def read(tmp_path):
    mask = np.zeros((30, 40), dtype=np.uint8)
    mask[5:15, 10:30] = 255
    Image.fromarray(mask).save(tmp_path / 'mask.png')
    Image.fromarray(mask[:10]).save(tmp_path / 'small.png')
    Image.fromarray(mask * 0).save(tmp_path / 'empty.png')
    Image.fromarray(np.dstack([mask] * 4)).save(tmp_path / 'rgba.png')
    palette = Image.fromarray(mask // 255, mode='P')  # index 1 is black: the index counts, not the colour
    palette.putpalette([255, 255, 255, 0, 0, 0])
    palette.save(tmp_path / 'palette.png')

    def read(said, **settings):
        said = json.loads(json.dumps(said))
        return parse_truth(
            said, where='a.jsonl:3: truth', image_size=SIZE, image_root=tmp_path, allow_outside=False, **settings
        )

    return read


def rle(rows=slice(5, 15), columns=slice(10, 30), size=(30, 40)):
    mask = np.zeros((1, *size), dtype=bool)
    mask[0, rows, columns] = True
    return encode_masks(mask)[0]


def test_boxes_and_points_follow_from_masks(read):
    for masks in ([rle()], ['mask.png'], ['palette.png']):
        truth = read({'masks': masks})
        assert (truth.count, truth.boxes, truth.points) == (1, ((10, 5, 30, 15),), ((20, 10),))
        assert np.argwhere(truth.masks[0]).tolist() == [[y, x] for y in range(5, 15) for x in range(10, 30)]


def test_what_is_given_is_not_made_of_masks(read):
    boxes = [[0, 0, 40, 30], [1, 2, 11, 6]]
    truth = read({'masks': [rle(), 'mask.png'], 'boxes': boxes, 'points': [[1, 2], [3.5, 4]]})
    assert truth.boxes == ((0, 0, 40, 30), (1, 2, 11, 6))
    assert truth.points == ((1, 2), (3.5, 4))
    truth = read({'boxes': [[0, 0, 40, 30]]})
    assert (truth.count, truth.points, truth.rles, truth.masks) == (1, ((20, 15),), None, None)
    truth = read({'count': 7})
    assert (truth.count, truth.boxes, truth.points, truth.masks) == (7, None, None, None)


@pytest.mark.parametrize('said', [{'count': 0}, {'boxes': []}, {'masks': []}, {'masks': [], 'count': 0}])
def test_nothing_is_there(read, said):
    truth = read(said)
    assert truth.count == 0
    assert 'masks' not in said or truth.masks.shape == (0, 30, 40)


@pytest.mark.parametrize(
    ('said', 'message'),
    [
        (None, ' is None, expected an object with one or more of masks, boxes, points, count'),
        ({}, ' is {}, expected an object with one or more of'),
        ({'mask': []}, ' is {.*}, expected an object with one or more of'),
        ({'count': -1}, r'\.count is -1, expected how many objects there are, 0 or more'),
        ({'count': True}, r'\.count is True, expected how many'),
        ({'count': 1.0}, r'\.count is 1\.0, expected how many'),
        ({'boxes': {}}, r'\.boxes is {}, expected a list with an entry for each object'),
        ({'boxes': [], 'count': 1}, r" has different numbers of objects: {'boxes': 0, 'count': 1}"),
        ({'boxes': [[1, 2, 3]]}, r"\.boxes\[0\] is .*, expected \['x1', 'y1', 'x2', 'y2'\] in px of the image"),
        ({'boxes': [[1, 2, 3, '4']]}, r'\.boxes\[0\] is .*, expected '),
        ({'boxes': [[1, 2, 3, False]]}, r'\.boxes\[0\] is .*, expected '),
        ({'boxes': [[1, 2, 1, 4]]}, r'\.boxes\[0\] is .* with x1 < x2 and y1 < y2'),
        ({'boxes': [[1, 2, 41, 4]]}, r'\.boxes\[0\] is .*, which lies outside of the image of \(40, 30\) px'),
        ({'boxes': [[1, 2, 3, float('nan')]]}, r'\.boxes\[0\] is .*, which lies outside of the image'),
        ({'points': [[1, 2], [10**400, 2]]}, r'\.points\[1\] is .*, which lies outside of the image'),
        ({'points': [1, 2]}, r"\.points\[0\] is 1, expected \['x', 'y'\] in px of the image"),
        ({'masks': [rle(), 3]}, r'\.masks\[1\] is 3, expected an RLE or the path of a PNG'),
        ({'masks': [rle(size=(30, 41))]}, r'\.masks\[0\] has size \[30, 41\], the image has \[30, 40\]'),
        ({'masks': [rle(slice(0, 0))]}, r'\.masks\[0\] has no pixel; leave the object out'),
        ({'masks': [{'size': [30, 40]}]}, r'\.masks\[0\] is an RLE without size or counts'),
        ({'masks': ['small.png']}, r'\.masks\[0\] is of 40 x 10 px, the image of 40 x 30 px'),
        ({'masks': ['empty.png']}, r'\.masks\[0\] has no pixel; leave the object out'),
        ({'masks': ['rgba.png']}, r'\.masks\[0\] is the file .*rgba\.png.* of mode RGBA, expected one channel'),
        ({'masks': ['none.png']}, r'\.masks\[0\] is the file .*none\.png.*, which does not exist'),
        ({'masks': [rle()], 'boxes': [[10, 16, 30, 25]]}, r'\.boxes\[0\] is \[10\.0, 16\.0, .*, apart from masks\[0\]'),
        ({'masks': [rle()], 'points': [[31, 10]]}, r'\.points\[0\] is .*, apart from masks\[0\], which is in \[10, 5'),
        (
            {'boxes': [[1, 1, 5, 5], [20, 20, 30, 30]], 'points': [[25, 25], [3, 3]]},
            r'\.points\[0\] is \[25\.0, 25\.0\], apart from boxes\[0\], which is in \[1\.0, .*; expected the same',
        ),
        ({'masks': ['../mask.png']}, r'\.masks\[0\] .*allow_outside'),
    ],
)
def test_what_is_malformed_is_refused_by_key(read, said, message):
    with pytest.raises(ValueError, match=re.escape('a.jsonl:3: truth') + message):
        read(said)
