import collections
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from flmm.engine import PlainCheckpointHook
from flmm.engine.plain_checkpoint_hook import to_plain
from flmm.registry import HOOKS


def make_checkpoint():
    """What mmengine's Runner hands to the hook, with numpy values where users and mmengine leave some."""
    state_dict = torch.nn.BatchNorm1d(2).state_dict()
    loss = HistoryBuffer([1.0, 0.5, 0.25], [1, 2, 1], max_length=7)
    return {
        'meta': {'epoch': 1, 'iter': np.int64(3), 'dataset_meta': {'classes': ('a', 'b'), 'palette': np.arange(6)}},
        'state_dict': state_dict,
        'message_hub': {
            'log_scalars': collections.OrderedDict({'train/loss': loss}),
            'runtime_info': collections.OrderedDict({'best': np.float64(0.5), 'names': [np.str_('x'), 'y']}),
            'resumed_keys': collections.OrderedDict({'train/loss': True}),
        },
        'param_schedulers': [{'last': np.float32(0.5), 'milestones': collections.Counter({1: 2})}],
    }


def test_plain_load_and_back(tmp_path):
    hook = HOOKS.build({'type': 'PlainCheckpointHook'})
    checkpoint, original = make_checkpoint(), make_checkpoint()
    hook.before_save_checkpoint(None, checkpoint)
    torch.save(checkpoint, tmp_path / 'plain.pth')

    loaded = torch.load(tmp_path / 'plain.pth', weights_only=True)
    assert loaded['message_hub']['log_scalars']['train/loss'].keys() == {'log_history', 'count_history', 'max_length'}
    hook.after_load_checkpoint(None, loaded)

    buffer = loaded['message_hub']['log_scalars']['train/loss']
    assert isinstance(buffer, HistoryBuffer)
    for found, expected in zip(buffer.data, original['message_hub']['log_scalars']['train/loss'].data, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    assert buffer.max_length == 7
    assert buffer.mean() == pytest.approx((1.0 + 0.5 + 0.25) / 4)
    buffer.update(3.0, 2)  # training goes on with it
    assert buffer.current() == 3.0

    assert loaded['meta']['iter'] == 3
    assert type(loaded['meta']['iter']) is int
    assert loaded['meta']['dataset_meta']['classes'] == ('a', 'b')
    assert loaded['meta']['dataset_meta']['palette'].tolist() == list(range(6))
    assert loaded['message_hub']['runtime_info'] == {'best': 0.5, 'names': ['x', 'y']}
    assert loaded['param_schedulers'] == [{'last': 0.5, 'milestones': {1: 2}}]


def test_without_the_hook_torch_refuses(tmp_path):
    """The reason for the hook."""
    torch.save(make_checkpoint(), tmp_path / 'objects.pth')
    with pytest.raises(pickle.UnpicklingError, match=r'HistoryBuffer|numpy'):
        torch.load(tmp_path / 'objects.pth', weights_only=True)


def test_state_dict_keeps_its_versions(tmp_path):
    checkpoint, original = make_checkpoint(), make_checkpoint()
    PlainCheckpointHook().before_save_checkpoint(None, checkpoint)
    torch.save(checkpoint, tmp_path / 'plain.pth')
    loaded = torch.load(tmp_path / 'plain.pth', weights_only=True)['state_dict']

    assert loaded._metadata == original['state_dict']._metadata
    assert loaded._metadata['']['version'] == 2
    assert loaded.keys() == original['state_dict'].keys()
    assert all(torch.equal(value, original['state_dict'][key]) for key, value in loaded.items())


def test_log_of_the_running_training_is_left_alone():
    log = make_checkpoint()
    buffer = log['message_hub']['log_scalars']['train/loss']
    PlainCheckpointHook().before_save_checkpoint(None, log)
    saved = log['message_hub']['log_scalars']['train/loss']['log_history']
    buffer.data[0][0] = 100.0
    assert saved.tolist() == [1.0, 0.5, 0.25]


def test_checkpoints_without_a_log_or_with_buffers_pass():
    hook, weights = PlainCheckpointHook(), {'state_dict': {}}
    hook.after_load_checkpoint(None, weights)
    assert weights == {'state_dict': {}}

    checkpoint = make_checkpoint()
    buffer = checkpoint['message_hub']['log_scalars']['train/loss']
    hook.after_load_checkpoint(None, checkpoint)
    assert checkpoint['message_hub']['log_scalars']['train/loss'] is buffer


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        (np.float64(0.1), 0.1),
        (np.int32(-3), -3),
        (np.bool_(True), True),
        (np.str_('name'), 'name'),
        ((np.int64(1), [np.int64(2), {'k': np.int64(3)}]), (1, [2, {'k': 3}])),
        (collections.OrderedDict(a=np.int64(1)), collections.OrderedDict(a=1)),
        ('text', 'text'),
        (None, None),
    ],
)
def test_to_plain(value, expected):
    plain = to_plain(value)
    assert plain == expected
    assert type(plain) is type(expected)


def test_to_plain_changes_a_copy():
    inner = {'a': np.int64(1)}
    outer = {'inner': inner, 'list': [np.int64(2)]}
    to_plain(outer)
    assert type(inner['a']) is np.int64
    assert type(outer['list'][0]) is np.int64


def test_to_plain_of_arrays():
    tensor = to_plain({'x': np.array([[1.5, 2.0]])})['x']
    assert tensor.dtype == torch.float64
    assert tensor.tolist() == [[1.5, 2.0]]
