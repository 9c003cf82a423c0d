import logging

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from flmm.engine import DefaultOptimWrapperConstructor


class Model(nn.Module):
    """[2, 3] + [2] of a head, of which the bias is frozen, [4, 2] of sam, [5] frozen of an LMM."""

    def __init__(self):
        super().__init__()
        self.head, self.sam = nn.Linear(3, 2), nn.Linear(2, 4, bias=False)
        self.lmm = nn.Parameter(torch.zeros(5), requires_grad=False)
        self.head.bias.requires_grad_(requires_grad=False)


@pytest.fixture
def messages(monkeypatch):
    """What the current logger of mmengine lets through."""
    logger, found = MMLogger.get_instance('test_optim_constructor'), []
    monkeypatch.setattr(MMLogger, 'get_current_instance', classmethod(lambda cls: logger))
    handler = logging.Handler()
    handler.setLevel(logging.INFO)
    handler.emit = lambda record: found.append(record.getMessage())
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def build(model, paramwise_cfg):
    optimizer = {'type': 'SGD', 'lr': 0.1, 'weight_decay': 0.01}
    return DefaultOptimWrapperConstructor({'optimizer': optimizer}, paramwise_cfg)(model)


def test_the_log_has_a_line_for_each_rate(messages):
    wrapper = build(Model(), {'custom_keys': {'sam': {'lr_mult': 0.5, 'decay_mult': 0.0}}})
    assert [(group['lr'], group['weight_decay']) for group in wrapper.optimizer.param_groups] == [
        (0.1, 0.01),
        (0.05, 0.0),
    ]
    assert messages == [
        'SGD:\n'
        '    lr 0.1, weight_decay 0.01: 1 tensors, 6 values of head\n'
        '    lr 0.05, weight_decay 0: 1 tensors, 8 values of sam\n'
        '    frozen: 2 tensors, 7 values of head, lmm'
    ]


def test_without_rates_of_their_own_frozen_parameters_are_not_counted_as_trained(messages):
    build(Model(), None)
    assert messages == [
        'SGD:\n'
        '    lr 0.1, weight_decay 0.01: 2 tensors, 14 values of head, sam\n'
        '    frozen: 2 tensors, 7 values of head, lmm'
    ]


def test_other_messages_come_through_and_the_filter_goes(messages):
    """A shared parameter, which mmengine warns of, and a message that starts as those that are left out do."""
    model = Model()
    model.again = nn.Linear(2, 4, bias=False)
    model.again.weight = model.sam.weight
    build(model, {'bypass_duplicate': True, 'custom_keys': {'sam': {'lr_mult': 0.5}}})
    MMLogger.get_current_instance().info('paramwise_options -- later')
    assert messages[0] == 'again is duplicate. It is skipped since bypass_duplicate=True'
    assert messages[1].startswith('SGD:\n')
    assert messages[2:] == ['paramwise_options -- later']
