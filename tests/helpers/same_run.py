"""Checkpoints of runs, compared to the last bit."""

import torch


def load(path):
    return torch.load(path, weights_only=True)


def assert_same(left, right, where):
    """Equal to the last bit: dicts, lists and tuples of tensors and plain values."""
    assert type(left) is type(right), where
    if isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f'{where}.{key}')
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), where
        for index, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f'{where}[{index}]')
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    else:
        assert left == right, where


def assert_same_run(left, right):
    for part in ('state_dict', 'optimizer', 'param_schedulers', 'random_states'):
        assert_same(left[part], right[part], part)
    assert (left['meta']['epoch'], left['meta']['iter']) == (right['meta']['epoch'], right['meta']['iter'])
    # what was logged; times differ between runs
    for key in ('train/loss', 'train/lr', 'train/grad_norm'):
        assert_same(
            left['message_hub']['log_scalars'][key]['log_history'],
            right['message_hub']['log_scalars'][key]['log_history'],
            key,
        )
