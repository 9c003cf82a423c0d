"""Truths and answers made by hand."""

import numpy as np
import pytest

from flmm.reinforce import AnsweredObject, Truth
from flmm.rle import encode_masks


@pytest.fixture
def true():
    """A truth of an image of 840 x 840 px, in which papers count distances; of another size where that is given."""

    def make(*, boxes=(), points=None, size=(840, 840)):
        masks = np.zeros((len(boxes), size[1], size[0]), dtype=bool)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
            mask[y1:y2, x1:x2] = True
        middles = [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes]
        return Truth(
            image_size=size,
            count=len(boxes),
            boxes=tuple(boxes),
            points=tuple(middles if points is None else points),
            rles=tuple(encode_masks(masks)) if len(boxes) else (),
        )

    return make


@pytest.fixture
def said():
    def make(*, boxes=(), points=()):
        return (*(AnsweredObject(box=box) for box in boxes), *(AnsweredObject(point=point) for point in points))

    return make
