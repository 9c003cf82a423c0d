"""Regions of an image: plain arithmetic of boxes."""

import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

from flmm.grounder.region import check_box, region_around


@pytest.mark.parametrize(
    ('inside', 'margin', 'min_side', 'expected'),
    [
        ((20, 30, 40, 60), 0.0, 1, (20, 30, 40, 60)),
        ((20, 30, 40, 60), 0.1, 1, (17, 27, 43, 63)),  # a tenth of 30 px on each side
        ((20, 30, 40, 60), 0.05, 1, (18, 28, 42, 62)),  # 1.5 px, to whole px
        ((20, 30, 40, 60), 0.0, 40, (10, 25, 50, 65)),
        ((20, 30, 41, 60), 0.0, 40, (11, 25, 51, 65)),  # 19 px are missing: 9 and 10
        ((0, 30, 20, 60), 0.0, 40, (0, 25, 40, 65)),  # at the left border all of it lies on the right
        ((70, 50, 80, 70), 0.0, 40, (40, 30, 80, 70)),  # and at the right and lower ones on the other side
        ((70, 40, 80, 60), 1.0, 1, (50, 20, 80, 70)),  # cut at the right and at the bottom
        ((5, 5, 6, 6), 0.0, 1000, (0, 0, 80, 70)),
    ],
)
def test_the_region_is_the_box_with_a_margin_within_the_image(inside, margin, min_side, expected):
    left, top, right, bottom = inside
    mask = torch.zeros(70, 80, dtype=torch.bool)
    mask[top, left], mask[bottom - 1, right - 1] = True, True
    assert region_around(mask, margin=margin, min_side=min_side) == expected


@pytest.mark.parametrize('seed', range(40))
def test_any_region_holds_its_mask_and_has_its_size(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(5, 90, size=2)
    mask = torch.from_numpy(rng.random((height, width)) < 0.02)
    mask[rng.integers(height), rng.integers(width)] = True
    margin, min_side = float(rng.uniform(0, 1)), int(rng.integers(1, 60))
    left, top, right, bottom = region_around(mask, margin=margin, min_side=min_side)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert mask[top:bottom, left:right].sum() == mask.sum()
    assert right - left >= min(min_side, width)
    assert bottom - top >= min(min_side, height)
    rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
    longer = float(max(rows.max() - rows.min(), columns.max() - columns.min()) + 1)
    assert left == 0 or columns.min() - left >= math.floor(margin * longer)
    assert bottom == height or bottom - 1 - rows.max() >= math.floor(margin * longer)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'margin': -0.1}, r'margin is -0\.1, expected a share of the longer side, 0 or more'),
        ({'margin': math.nan}, 'margin is nan'),
        ({'min_side': 0}, 'min_side is 0, expected 1 px or more'),
        ({'mask': torch.zeros(4, 4, dtype=torch.bool)}, 'the mask is empty'),
    ],
)
def test_a_region_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        region_around(**{'mask': torch.ones(4, 4, dtype=torch.bool), 'margin': 0.0, 'min_side': 1} | settings)


def test_a_box_may_be_of_any_whole_numbers():
    assert check_box(np.array([1, 2, 3, 4]), Image.new('RGB', (9, 9))) == (1, 2, 3, 4)


@pytest.mark.parametrize('box', [5, None, 'abcd', (0, 0, 4), (math.nan, 0, 4, 4), (0, 0, math.inf, 4), (0, 0, 4, 4.5)])
def test_what_is_no_box_is_named(box):
    with pytest.raises(
        ValueError, match=re.escape(f'box is {box!r}, expected left, top, right and bottom in whole px')
    ):
        check_box(box, Image.new('RGB', (9, 9)))
