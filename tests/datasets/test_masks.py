"""encode_mask against pycocotools and plain bitmaps; what it refuses, and what it says of it."""

import re

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from flmm.datasets.masks import encode_mask, fraction_outside, unite_masks

BITMAP = np.zeros((6, 8), dtype=np.uint8)
BITMAP[1:4, 2:6] = 1
BITMAP[5, 0] = 1
TRIANGLE = [1, 1, 5, 1, 5, 5]


def runs(bitmap):
    """Counts of an uncompressed RLE: run lengths in column-major order, background first."""
    flat, counts, value = bitmap.ravel(order='F').tolist(), [0], 0
    for pixel in flat:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def decode(segmentation, size=(6, 8)):
    rle, left_out = encode_mask(segmentation, size=size)
    assert left_out == []
    return coco_mask.decode(rle)


def test_polygons_decode_as_pycocotools_does():
    polygons = [
        [[2, 1, 6, 1, 6, 4, 2, 4]],
        [[0.4, 0.7, 7.9, 1.2, 3.3, 5.6]],
        [[0, 0, 2, 0, 2, 2, 0, 2], [4.5, 2, 8, 2, 8, 6], [1, 1, 3, 1, 3, 3, 1, 3]],  # parts, two of them overlap
        [[-5, -5, 50, -5, 50, 50, -5, 50]],  # sticks out everywhere
    ]

    masks = [decode(parts) for parts in polygons]

    expected = [coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(parts, 6, 8))) for parts in polygons]
    assert masks[0].dtype == np.uint8
    assert np.array_equal(masks, expected)
    assert masks[0].sum() == 12
    assert masks[0][1:4, 2:6].all()
    assert masks[3].all()
    assert np.array_equal(decode([np.array(polygons[0][0], dtype=np.float32)]), masks[0])


@pytest.mark.parametrize('kind', ['list', 'str', 'bytes'])
@pytest.mark.parametrize('bitmap', [BITMAP, np.ones_like(BITMAP)], ids=['some', 'all'])
def test_rle_decodes_to_the_bitmap_it_was_made_of(kind, bitmap):
    counts = runs(bitmap) if kind == 'list' else coco_mask.encode(np.asfortranarray(bitmap))['counts']
    if kind == 'str':
        counts = counts.decode()

    assert np.array_equal(decode({'size': [6, 8], 'counts': counts}), bitmap)
    assert np.array_equal(decode({'size': (6, 8), 'counts': counts}), bitmap)


@pytest.mark.parametrize('seed', range(20))
def test_compressed_runs_of_any_length(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 400, 2)
    bitmap = np.repeat(rng.random(height * width) < 0.5, rng.integers(1, 3000, height * width))[: height * width]
    bitmap = bitmap.reshape(height, width).astype(np.uint8)
    bitmap[0, 0] = 1
    counts = coco_mask.encode(np.asfortranarray(bitmap))['counts']

    assert np.array_equal(decode({'size': [height, width], 'counts': counts}, size=(height, width)), bitmap)


@pytest.mark.parametrize(
    ('stray', 'left_out'),
    [
        ([1, 1, 5, 1], [1]),
        ([], [1]),
        ([1, 1, 5, 1, 5, 5, 1], [1]),
        ([3, 3, 3, 3, 3, 3], [1]),
        ([1, 1, 2, 2, 5, 5], [1]),
        ([20, 20, 30, 20, 30, 30], [1]),
    ],
)
def test_stray_polygon_beside_good_ones_is_left_out(stray, left_out):
    rle, found = encode_mask([TRIANGLE, stray, [6, 0, 8, 0, 8, 6]], size=(6, 8))

    assert found == left_out
    assert np.array_equal(coco_mask.decode(rle), decode([TRIANGLE, [6, 0, 8, 0, 8, 6]]))


@pytest.mark.parametrize(
    ('mask', 'problem'),
    [
        (None, 'is None, expected polygons or an RLE'),
        ([], 'is [], expected polygons or an RLE'),
        ('PPY', "is 'PPY', expected polygons or an RLE"),
        ([1.0, 1.0, 5.0, 1.0, 5.0, 5.0], 'is [1.0, 1.0, 5.0, 1.0, 5.0, 5.0], expected polygons or an RLE'),
        ([[[1, 1], [5, 1], [5, 5]]], 'is [[[1, 1], [5, 1], [5, 5]]], expected polygons or an RLE'),
        (
            [TRIANGLE, [1, 1, [5], 1, 5, 5]],
            'is [[1, 1, 5, 1, 5, 5], [1, 1, [5], 1, 5, 5]], expected polygons or an RLE',
        ),
        ([TRIANGLE, 'abcdef'], "is [[1, 1, 5, 1, 5, 5], 'abcdef'], expected polygons or an RLE"),
        *(
            ([TRIANGLE, [1, 1, value, 1, 5, 5]], f'has a polygon with the coordinate {value!r}, expected numbers in px')
            for value in ('5', None, True, 1j)
        ),
        *(
            ([TRIANGLE, [1, 1, value, 1, 5, 5]], 'has a polygon with a coordinate that is not finite')
            for value in (float('nan'), float('inf'), 10**400)
        ),
        (
            [TRIANGLE, [1, 1, 1e9, 1, 5, 5]],
            'has a polygon far outside the image of 6x8 px (x from 1 to 1e+09, y from 1 to 5)',
        ),
        ([[0, 0, 1e7, 0, 1e7, 9]], 'has a polygon far outside the image of 6x8 px (x from 0 to 1e+07, y from 0 to 9)'),
        (
            [[1, 1, 5, 1]],
            'has a polygon of fewer than three points or an odd number of coordinates; it is empty (0 px)',
        ),
        (
            [[20, 20, 30, 20, 30, 30]],
            'has a polygon outside the image of 6x8 px (x from 20 to 30, y from 20 to 30); it is em',
        ),
        (
            [[-9, 1, -1, 1, -1, 4]],
            'has a polygon outside the image of 6x8 px (x from -9 to -1, y from 1 to 4); it is empty',
        ),
        ([[3, 3, 3, 3, 3, 3]], 'has a polygon of one repeated point (3, 3); it is empty (0 px)'),
        (
            [[1, 1, 2, 2, 5, 5]],
            'has a polygon whose points lie on one line (x from 1 to 5, y from 1 to 5); it is empty',
        ),
        (
            [[3, 3, 3.1, 3, 3.1, 3.1]],
            'has a polygon that covers the middle of no pixel (x from 3 to 3.1, y from 3 to 3.1)',
        ),
        # pycocotools draws one pixel for the first of these.
        (
            [[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]],
            'has a polygon in coordinates of 0 to 1, expected px (multiply x by the width',
        ),
        ([[0, 0, 1, 0, 1, 1, 0, 1.01]], 'has a polygon in coordinates of 0 to 1, expected px (multiply x by the width'),
        (
            [[1, 1], [3, 3, 3, 3, 3, 3], [2, 2]],
            'has a polygon of fewer than three points or an odd number of coordinates and a polygon of one repeated '
            'point (3, 3); it is empty (0 px)',
        ),
        ({'counts': [48]}, "is an RLE without size or counts (keys ['counts'])"),
        ({'size': [6, 8]}, "is an RLE without size or counts (keys ['size'])"),
        ({'size': [8, 6], 'counts': [48]}, 'has size [8, 6], the image has [6, 8]'),
        ({'size': 48, 'counts': [48]}, 'has size 48, the image has [6, 8]'),
        ({'size': [6, 8], 'counts': None}, 'is an RLE whose counts are None, expected a list of runs or a compressed'),
        ({'size': [6, 8], 'counts': ''}, "is an RLE whose counts are '', expected a list of runs or a compressed"),
        ({'size': [6, 8], 'counts': []}, 'is an RLE whose counts are [], expected a list of runs or a compressed'),
        ({'size': [6, 8], 'counts': [10, 5]}, 'is an RLE of 15 px (shortest run 5), expected 48'),
        ({'size': [6, 8], 'counts': [10, 5, 330]}, 'is an RLE of 345 px (shortest run 5), expected 48'),
        ({'size': [6, 8], 'counts': [10, -5, 43]}, 'is an RLE of 48 px (shortest run -5), expected 48'),
        ({'size': [6, 8], 'counts': [10, 5.0, 33]}, 'is an RLE with the run 5.0, expected whole numbers of px'),
        ({'size': [6, 8], 'counts': [10, '5', 33]}, "is an RLE with the run '5', expected whole numbers of px"),
        ({'size': [6, 8], 'counts': [48]}, 'is an RLE of background alone; it is empty (0 px)'),
        ({'size': [6, 8], 'counts': '`1'}, 'is an RLE of background alone; it is empty (0 px)'),
        # What pycocotools reads of these is memory behind the string: 598 px of 48, when tried.
        ({'size': [6, 8], 'counts': '0'}, 'is an RLE of 0 px (shortest run 0), expected 48'),
        ({'size': [6, 8], 'counts': 'P1'}, 'is an RLE of 32 px (shortest run 32), expected 48'),
        ({'size': [6, 8], 'counts': b'=151O1`'}, "is an RLE whose compressed counts b'=151O1`' are cut off"),
        ({'size': [6, 8], 'counts': 'zzzz'}, "is an RLE whose compressed counts 'zzzz' are broken"),
        ({'size': [6, 8], 'counts': 'ooooooooooo'}, "is an RLE whose compressed counts 'ooooooooooo' are broken"),
        ({'size': [6, 8], 'counts': '\ud800'}, "is an RLE whose compressed counts '\\ud800' are broken"),
    ],
)
def test_mistaken_mask_is_refused(mask, problem):
    with pytest.raises(ValueError, match=f'^{re.escape(problem)}'):
        encode_mask(mask, size=(6, 8))


def test_image_of_more_pixels_than_can_be_counted_is_refused():
    with pytest.raises(ValueError, match=f'belongs to an image of {10**400}x8 px, more than an RLE can count'):
        encode_mask([TRIANGLE], size=(10**400, 8))


def test_the_only_pixel_may_lie_in_the_unit_square():
    assert decode([[0, 0, 1, 0, 1, 1, 0, 1]], size=(1, 1)).tolist() == [[1]]


@pytest.mark.parametrize(
    ('segmentation', 'expected'),
    [
        ([[0, 0, 8, 0, 8, 6, 0, 6]], 0),
        ([[-1, -1, 9, -1, 9, 7, -1, 7]], 0),  # by a pixel, as COCO's do
        ([[0, 0, 16, 0, 16, 6, 0, 6]], 0.5),
        ([[-24, 0, 8, 0, 8, 6, -24, 6]], 0.75),
        ([[0, 0, 8, 0, 8, 6, 0, 6], [0, 10, 8, 10, 8, 16, 0, 16]], 0.5),
        ([[-5, -5, 50, -5, 50, 50, -5, 50]], 1 - 48 / 55**2),
        ({'size': [6, 8], 'counts': [0, 48]}, 0),
    ],
)
def test_fraction_outside(segmentation, expected):
    assert fraction_outside(segmentation, size=(6, 8)) == pytest.approx(expected, abs=0.01)


def test_masks_become_one():
    left, right = [[0, 0, 4, 0, 4, 4, 0, 4]], [[4, 2, 8, 2, 8, 6, 4, 6]]
    runs = {'size': [6, 8], 'counts': [40, 2, 4, 2]}  # a crowd's: the lower right corner
    drawn = [coco_mask.decode(encode_mask(mask, size=(6, 8))[0]) for mask in (left, right, runs)]

    assert unite_masks([runs], size=(6, 8)) is runs
    assert unite_masks([left, right], size=(6, 8)) == [*left, *right]
    for masks, parts in (([left, right], drawn[:2]), ([left, runs, right], drawn), ([runs, runs], drawn[2:])):
        united = coco_mask.decode(encode_mask(unite_masks(masks, size=(6, 8)), size=(6, 8))[0])
        assert np.array_equal(united, np.bitwise_or.reduce(parts))
