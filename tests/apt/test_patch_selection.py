import dataclasses
import warnings

import numpy as np
import pytest

from flmm.apt import PatchSelection
from flmm.apt.patch_selection import DEFAULT_THRESHOLDS, SETTINGS


def test_settings_are_the_fields_with_their_defaults():
    assert dataclasses.asdict(PatchSelection()) == SETTINGS == {
        'patch_selection_method': 'v1', 'alpha': 1.0, 'thresholds': None, 'method': 'entropy',
        'laplacian_aggregate': 'mean', 'blur': 1, 'max_token_size': 4,
    }  # fmt: skip


def test_a_selection_is_a_value():
    selection = PatchSelection(patch_selection_method='budget', alpha=0.3)

    assert selection == PatchSelection(patch_selection_method='budget', alpha=np.float64(0.3))
    assert len({selection, dataclasses.replace(selection), PatchSelection()}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        selection.alpha = 0.5


def test_numbers_become_plain_ones():
    settings = {'thresholds': [np.float32(2.5), np.int64(1)], 'max_token_size': np.int64(2), 'alpha': 1}

    selection = PatchSelection(**settings)

    assert (selection.thresholds, selection.max_token_size, selection.alpha) == ((2.5, 1.0), 2, 1.0)
    numbers = (*selection.thresholds, selection.max_token_size, selection.alpha)
    assert [type(number) for number in numbers] == [float, float, int, float]


@pytest.mark.parametrize(('method', 'aggregate'), DEFAULT_THRESHOLDS)
def test_thresholds_are_those_that_are_given_or_those_of_the_measure(method, aggregate):
    measure = {'method': method, 'laplacian_aggregate': aggregate or 'max'}

    assert PatchSelection(**measure).thresholds is None
    assert PatchSelection(**measure).v1_thresholds == DEFAULT_THRESHOLDS[method, aggregate]
    assert PatchSelection(**measure, thresholds=(5, 4)).v1_thresholds == (5.0, 4.0)


def test_a_misspelt_setting_is_named():
    with pytest.raises(TypeError, match="unexpected keyword argument 'alhpa'"):
        PatchSelection(alhpa=0.3)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            {'patch_selection_method': 'v3'},
            r"patch_selection_method is 'v3', expected one of \('none', 'v1', 'v2', 'budget'\)",
        ),
        ({'patch_selection_method': 'budget', 'alpha': 0.0}, r'alpha is 0.0, expected a share .* in \(0, 1\]'),
        ({'patch_selection_method': 'budget', 'alpha': 1.1}, r'alpha is 1.1, expected a share'),
        ({'patch_selection_method': 'budget', 'alpha': float('nan')}, r'alpha is nan, expected a share'),
        ({'patch_selection_method': 'budget', 'alpha': '0.5'}, "alpha is '0.5', expected a share"),
        ({'patch_selection_method': 'budget', 'alpha': (0.2, 0.5)}, r'alpha is \(0.2, 0.5\), expected a share'),
        ({'patch_selection_method': 'v2', 'alpha': None}, 'alpha is None, expected a finite factor'),
        ({'patch_selection_method': 'v2', 'alpha': -0.1}, 'alpha is -0.1, expected a finite factor .* at least 0'),
        ({'patch_selection_method': 'v2', 'alpha': float('inf')}, 'alpha is inf, expected a finite factor'),
        ({'method': 'sobel'}, "method is 'sobel', expected one of"),
        ({'laplacian_aggregate': 'sum'}, "laplacian_aggregate is 'sum', expected one of"),
        ({'blur': 2}, 'blur is 2, expected an odd number'),
        ({'thresholds': (3,)}, r'thresholds are \(3,\), expected two positive numbers: for patches of 28 and of 56 px'),
        ({'thresholds': (3, -2)}, r'thresholds are \(3, -2\), expected two positive numbers'),
        ({'thresholds': '32'}, 'thresholds are 32, expected two positive numbers'),
        ({'thresholds': 3.0}, 'thresholds are 3.0, expected two positive numbers'),
    ],
)
def test_refuses_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        PatchSelection(**settings)


@pytest.mark.parametrize('method', ['none', 'v1'])
def test_warns_of_an_alpha_that_is_not_used(method):
    with pytest.warns(UserWarning, match=rf"alpha is 0.5, but patch_selection_method '{method}' does not use it"):
        PatchSelection(patch_selection_method=method, alpha=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for settings in (
            {'patch_selection_method': 'v2', 'alpha': 0.9},
            {'patch_selection_method': 'budget', 'alpha': 0.5},
        ):
            PatchSelection(**settings)
        PatchSelection(patch_selection_method=method)
