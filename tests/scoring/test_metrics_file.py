import json
import re

import numpy as np
import pytest
import torch

from flmm.scoring import write_metrics


def strict(path):
    """Parse as the JSON standard does: no NaN, no Infinity."""

    def refuse(name):
        raise AssertionError(name)

    return json.loads(path.read_text(), parse_constant=refuse)


def test_values_of_numpy_and_torch(tmp_path):
    metrics = {
        'a': 1.5,
        'numpy': np.float32(0.25),
        'count': np.int64(7),
        'flag': np.bool_(True),
        'tensor': torch.tensor(3, dtype=torch.int16),
        'half': torch.tensor([0.5, 1.0], dtype=torch.bfloat16, requires_grad=True),
        'matrix': np.array([[1, 2], [3, 4]]),
        'nested': {'per class': [np.float64(1.0), {'x': torch.tensor(2.0)}], 3: (None, 'text')},
        'undefined': float('nan'),
        'some undefined': np.array([1.0, np.nan]),
        'text \ud83d': '\ud83d',
        9: 1,
    }
    write_metrics(metrics, tmp_path / 'metrics.json')
    assert strict(tmp_path / 'metrics.json') == {
        'a': 1.5,
        'numpy': 0.25,
        'count': 7,
        'flag': True,
        'tensor': 3,
        'half': [0.5, 1.0],
        'matrix': [[1, 2], [3, 4]],
        'nested': {'per class': [1.0, {'x': 2.0}], '3': [None, 'text']},
        'undefined': None,
        'some undefined': [1.0, None],
        'text \ud83d': '\ud83d',
        '9': 1,
    }


@pytest.mark.parametrize(
    ('value', 'why'),
    [
        (float('inf'), "'own' is inf"),
        (1 + 2j, "'own' is a complex"),
        ({1, 2}, "'own' is a set"),
        ({'a': [0, object()]}, "'own' ['a'] [1] is a object"),
        (torch.tensor([1.0, float('-inf')]), "'own' [1] is -inf"),
        (torch.eye(2).to_sparse(), "'own' is a tensor of layout torch.sparse_coo on device cpu"),
        (torch.ones(2, device='meta'), "'own' is a tensor of layout torch.strided on device meta"),
    ],
)
def test_what_json_cannot_hold_is_named_and_the_rest_is_written(value, why, tmp_path):
    path = tmp_path / 'metrics.json'
    with pytest.raises(ValueError, match=re.escape(f'all metrics but those that JSON cannot hold: {why}; let the')):
        write_metrics({'before': 1.0, 'own': value, 'after': 2.0}, path)
    assert strict(path) == {'before': 1.0, 'after': 2.0}
