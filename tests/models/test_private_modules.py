"""Copies of modules for other ways through the same weights: what they share with the original, and what not."""

import pytest
import torch
from torch import nn

from flmm.models.private_modules import private_module


@pytest.mark.parametrize('settings', [{}, {'with_kwargs': True}])
@pytest.mark.parametrize('register', ['register_forward_pre_hook', 'register_forward_hook'])
def test_a_copy_has_the_hooks_of_its_origin_and_keeps_new_ones_to_itself(register, settings):
    origin, called = nn.Linear(3, 2), []
    handle = getattr(origin, register)(lambda *_: called.append('shared'), **settings)
    made = private_module(origin)
    getattr(made, register)(lambda *_: called.append('private'), **settings)

    x = torch.zeros(1, 3)
    made(x)
    assert called == ['shared', 'private']
    origin(x)
    assert called == ['shared', 'private', 'shared']
    handle.remove()
    made(x)
    assert called == ['shared', 'private', 'shared', 'shared', 'private']
    origin(x)
    assert len(called) == 5


def test_a_copy_shares_weights_and_not_the_names_of_its_parts():
    origin = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    made = private_module(origin)
    made[1] = nn.Identity()
    assert isinstance(origin[1], nn.ReLU)
    assert made[0].weight is origin[0].weight
