"""What is found of phrases: masks, boxes and RLE, each against plain counting, and never all in memory."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from flmm import mask_logits
from flmm.grounder import Grounding
from flmm.mask_logits import MaskLogits

SIZE = (30, 40)


def random_logits(num_masks, seed):
    return torch.randn(num_masks, *SIZE, generator=torch.Generator().manual_seed(seed)) - 1


def grounding(num_masks=5, **changes):
    return Grounding(
        **{
            'image': Image.new('RGB', SIZE[::-1]),
            'phrases': [f'phrase {index}' for index in range(num_masks)],
            'coarse': MaskLogits.from_image(random_logits(num_masks, 0)),
            'refined': MaskLogits.from_image(random_logits(num_masks, 1)),
            'scores': torch.linspace(0, 1, num_masks),
            **changes,
        }
    )


@pytest.fixture(params=[2**25, 1, 2 * SIZE[0] * SIZE[1]], autouse=True)
def _chunks(request, monkeypatch):
    """All masks together, one after the other, and two at a time."""
    monkeypatch.setattr(mask_logits, 'CHUNK_PIXELS', request.param)


def test_masks_are_logits_above_zero():
    found = grounding()
    assert torch.equal(found.masks, random_logits(5, 1) > 0)
    assert torch.equal(found.coarse_masks, random_logits(5, 0) > 0)
    assert found.masks.dtype == torch.bool
    assert len(found) == 5


def test_what_is_judged_absent_has_no_mask():
    exists = torch.tensor([True, False, True, False, True])
    found = grounding(existence=exists.float(), exists=exists)
    assert torch.equal(found.masks, (random_logits(5, 1) > 0) & exists[:, None, None])
    assert torch.equal(found.coarse_masks, (random_logits(5, 0) > 0) & exists[:, None, None])
    assert torch.equal(found.masks.flatten(1).any(dim=1), exists)
    assert found.boxes[~exists].tolist() == [[0.0] * 4] * 2


def test_boxes_are_around_the_pixels():
    logits = torch.full((4, *SIZE), -1.0)
    logits[0, 3, 7] = logits[0, 20, 5] = 1.0
    logits[1] = 1.0
    logits[3, 29, 39] = 1.0
    found = grounding(4, refined=MaskLogits.from_image(logits))
    expected = []
    for mask in (logits > 0).tolist():
        places = [(x, y) for y, row in enumerate(mask) for x, value in enumerate(row) if value]
        columns, rows = zip(*places, strict=True) if places else ((0, -1), (0, -1))
        expected.append([min(columns), min(rows), max(columns) + 1, max(rows) + 1])
    expected[2] = [0, 0, 0, 0]
    assert found.boxes.tolist() == expected == [[5, 3, 8, 21], [0, 0, 40, 30], [0] * 4, [39, 29, 40, 30]]
    assert found.boxes.dtype == torch.float32
    for box, rle in zip(found.boxes.tolist(), found.to_rle(), strict=True):
        x, y, width, height = coco_mask.toBbox(rle).tolist()
        assert box == [x, y, x + width, y + height]


def test_rle_is_cocos_and_json():
    found = grounding()
    rles = json.loads(json.dumps(found.to_rle()))
    assert [rle['size'] for rle in rles] == [list(SIZE)] * 5
    for rle, mask in zip(rles, found.masks, strict=True):
        assert np.array_equal(coco_mask.decode(rle), mask.numpy())


def test_masks_come_a_few_at_a_time(request):
    found = grounding()
    sizes = [len(masks) for masks in found.mask_chunks()]
    assert sizes == {2**25: [5], 1: [1] * 5, 2 * SIZE[0] * SIZE[1]: [2, 2, 1]}[mask_logits.CHUNK_PIXELS]
    for source, expected in (('refined', found.masks), ('coarse', found.coarse_masks)):
        assert torch.equal(torch.cat(list(found.mask_chunks(source))), expected)


def test_results_are_compared_as_objects():
    """Comparing field by field would ask a tensor for one truth value."""
    found = grounding()
    assert (found == found, found == grounding(), len({found, found})) == (True, False, 1)
    copied = pickle.loads(pickle.dumps(found))
    assert copied != found
    assert torch.equal(copied.logits(), found.logits())
