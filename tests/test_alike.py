"""Which samples show the same picture, and which begin alike."""

from dataclasses import replace

import torch
from plain_sample import GRID, IMAGE_TOKEN, fields, reading, view

from flmm.alike import begin_alike, distinct, show_the_same
from flmm.apt.layout import TokenLayout
from flmm.structures import GroundingSample


def test_two_samples_show_the_same_picture():
    sample = GroundingSample(**fields())
    pixels = {'pixel_values': torch.zeros(24, 1176)}
    assert show_the_same(sample, replace(sample, lmm_inputs=pixels, phrases=['a', 'b']))
    assert not show_the_same(sample, replace(sample, image=sample.image.copy()))
    assert not show_the_same(sample, replace(sample, lmm_inputs={'pixel_values': torch.ones(24, 1176)}))
    assert not show_the_same(sample, replace(sample, lmm_inputs={**pixels, 'image_sizes': torch.zeros(2)}))
    second = view(columns=torch.tensor([0, 7]), layout=TokenLayout.dense((1, 2)))
    assert not show_the_same(sample, replace(sample, views=[second, view()]))
    pruned = TokenLayout(tokens=torch.tensor([[0, 0, 2], [0, 2, 1], [1, 2, 1]]), grid_size=GRID)
    assert not show_the_same(sample, replace(sample, views=[view(columns=torch.arange(1, 4), layout=pruned)]))


def test_two_samples_begin_alike():
    sample = GroundingSample(**fields())
    others = fields(
        input_ids=torch.tensor([1, *[IMAGE_TOKEN] * 6, 2, 8, 7]),
        mask_ids=torch.tensor([-1] * 8 + [0, 1]),
        image=sample.image,
        independent=True,
    )
    assert begin_alike(sample, GroundingSample(**others))
    prompt = torch.tensor([1, *[IMAGE_TOKEN] * 6, 3, 8, 7])
    assert not begin_alike(sample, GroundingSample(**{**others, 'input_ids': prompt}))
    assert not begin_alike(sample, GroundingSample(**{**others, 'prompt_length': 7, 'independent': False}))
    assert not begin_alike(sample, GroundingSample(**{**others, 'image': sample.image.copy()}))
    assert not begin_alike(sample, GroundingSample(**{**others, 'reading': reading()}))
    assert not begin_alike(sample, GroundingSample(**{**others, 'views': [view(columns=torch.arange(6, 0, -1))]}))


def test_distinct_keeps_the_first_of_each_kind():
    assert distinct(['a', 'B', 'A', 'b', 'c'], same=lambda one, other: one.lower() == other.lower()) == (
        ['a', 'B', 'c'],
        [0, 1, 0, 1, 2],
    )
    assert distinct([], same=lambda one, other: True) == ([], [])
