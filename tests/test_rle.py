import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from flmm.rle import check_rle, decode_masks, encode_masks, rle_area, rle_box

MASKS = np.stack([np.zeros((4, 6)), np.ones((4, 6)), np.arange(24).reshape(4, 6) % 5, np.eye(4, 6)]) > 0


@pytest.mark.parametrize('masks', [MASKS, MASKS[::2], MASKS[:, :3, 1:5], MASKS[..., :1]], ids=['all', *'abc'])
def test_masks_are_encoded_as_pycocotools_does_one_by_one(masks):
    encoded = json.loads(json.dumps(encode_masks(masks)))
    assert len(encoded) == len(masks)
    for rle, mask in zip(encoded, masks, strict=True):
        alone = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert rle == {'size': list(mask.shape), 'counts': alone['counts'].decode('ascii')}
        np.testing.assert_array_equal(coco_mask.decode(rle), mask)


def test_areas_and_boxes():
    """Against a count, and the first and last row and column; a run that goes on in the next column included."""
    wrapped = np.zeros((1, 4, 6), dtype=bool)
    wrapped[0, 3, 2] = wrapped[0, 0, 3] = True
    for rle, mask in zip(encode_masks(np.concatenate([MASKS, wrapped])), [*MASKS, wrapped[0]], strict=True):
        assert rle_area(rle) == mask.sum()
        rows, columns = np.nonzero(mask)
        if len(rows):
            x, y = columns.min(), rows.min()
            assert rle_box(rle) == [x, y, columns.max() + 1 - x, rows.max() + 1 - y]
        else:
            assert rle_box(rle) == [0, 0, 0, 0]


def test_masks_come_back():
    decoded = decode_masks(encode_masks(MASKS))
    assert decoded.dtype == bool
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, MASKS)


def test_no_mask():
    assert encode_masks(np.zeros((0, 4, 6), dtype=bool)) == []
    with pytest.raises(ValueError, match='no RLE to decode, so nothing says how large the masks are; give one'):
        decode_masks([])


@pytest.mark.parametrize('seed', range(40))
def test_rles_of_others_are_what_they_were(seed):
    """Sparse and dense masks, with short and long runs: in every form, they come out as pycocotools makes them."""
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 700, 2).tolist())
    mask = rng.random(size) < rng.choice([0, 1e-4, 0.1, 0.5, 0.999, 1])
    expected = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    flat = mask.flatten(order='F')
    ends = np.flatnonzero(np.diff(flat.astype(int))) + 1
    runs = np.diff([0, *ends, len(flat)]).tolist()
    runs = [0, *runs] if flat[0] else runs
    for counts in (expected['counts'], expected['counts'].decode(), runs):
        for given in (None, size):
            assert check_rle({'size': list(size), 'counts': counts}, size=given) == expected


@pytest.mark.parametrize(
    ('size', 'problem'),
    [
        ([6], r'has size \[6\], expected \[height, width\] in px'),
        ('68', r"has size '68', expected"),
        ([6, True], r'has size \[6, True\], expected'),
        ([0, 8], r'has size \[0, 8\], expected'),
        ([10**6, 10**6], r'has size \[1000000, 1000000\], of more px than an RLE can count'),
    ],
)
def test_a_size_that_is_none_is_refused(size, problem):
    with pytest.raises(ValueError, match=problem):
        check_rle({'size': size, 'counts': '`1'})
