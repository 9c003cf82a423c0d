"""collate_grounding: a flat list of samples."""

import pytest

from flmm.datasets import collate_grounding
from flmm.registry import FUNCTIONS


@pytest.mark.parametrize(
    ('items', 'samples'),
    [
        (['a', 'b'], ['a', 'b']),
        ([['a', 'b'], ['c']], ['a', 'b', 'c']),
        (['a', ['b', 'c'], 'd'], ['a', 'b', 'c', 'd']),
        ([[], ['a']], ['a']),
    ],
)
def test_lists_are_flattened_in_order(items, samples):
    assert collate_grounding(items) == {'data_samples': samples}


def test_samples_are_passed_on_and_items_left_as_they_are():
    first, second = object(), object()
    items = [[first], second]

    samples = collate_grounding(items)['data_samples']

    assert samples[0] is first
    assert samples[1] is second
    assert items == [[first], second]


def test_configs_name_it():
    assert FUNCTIONS.get('flmm.collate_grounding') is collate_grounding
