import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from flmm.rle import decode_masks, encode_masks

MASKS = np.stack([np.zeros((4, 6)), np.ones((4, 6)), np.arange(24).reshape(4, 6) % 5, np.eye(4, 6)]) > 0


@pytest.mark.parametrize('masks', [MASKS, MASKS[::2], MASKS[:, :3, 1:5], MASKS[..., :1]], ids=['all', *'abc'])
def test_masks_are_encoded_as_pycocotools_does_one_by_one(masks):
    encoded = json.loads(json.dumps(encode_masks(masks)))
    assert len(encoded) == len(masks)
    for rle, mask in zip(encoded, masks, strict=True):
        alone = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert rle == {'size': list(mask.shape), 'counts': alone['counts'].decode('ascii')}
        np.testing.assert_array_equal(coco_mask.decode(rle), mask)


def test_masks_come_back():
    decoded = decode_masks(encode_masks(MASKS))
    assert decoded.dtype == bool
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, MASKS)


def test_no_mask():
    assert encode_masks(np.zeros((0, 4, 6), dtype=bool)) == []
    with pytest.raises(ValueError, match='no RLE to decode, so nothing says how large the masks are; give one'):
        decode_masks([])
