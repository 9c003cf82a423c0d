"""Copies of module objects that share what they hold."""

import pytest
import torch
from tiny_models import tiny_lmm
from torch import nn

from flmm.models.private_modules import first_layers, private_module


def test_a_private_module_shares_parameters_and_submodules():
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    own = private_module(module)
    assert own is not module
    assert own[0] is module[0]
    with torch.no_grad():
        module[0].weight.fill_(2)
    x = torch.ones(1, 2)
    assert torch.equal(own(x), module(x))


def test_changes_of_a_private_module_stay_there():
    module = nn.Sequential(nn.Linear(2, 3))
    linear, seen = module[0], []
    own = private_module(module)
    own[0] = nn.Linear(2, 4)
    own.register_forward_hook(lambda *args: seen.append('own'))
    own.name = 'own'
    own.append(nn.ReLU())
    assert module[0] is linear
    assert not hasattr(module, 'name')
    assert len(module) == 1
    module(torch.ones(1, 2))
    assert seen == []
    own(torch.ones(1, 2))
    assert seen == ['own']


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


def test_a_forward_that_was_replaced_is_refused():
    module = nn.Linear(2, 2)
    module.forward = module.forward
    for replaced, name in ((module, 'Linear'), (torch.compile(nn.Linear(2, 2), backend='eager'), 'OptimizedModule')):
        message = rf'^the forward of a {name} was replaced, as device_map and torch\.compile\(module\) do; load'
        with pytest.raises(ValueError, match=message):
            private_module(replaced)


def test_a_copy_of_a_module_that_was_compiled_in_place_is_its_own():
    """What was compiled is the forward of the original, with its submodules."""
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module.compile(backend='eager')
    made = private_module(module)
    made[1] = nn.Identity()
    x = torch.ones(1, 2)
    assert torch.equal(made(x), module[0](x))


def num_hooks(decoder):
    return [len(module._forward_hooks) for module in decoder.modules()]


@pytest.mark.parametrize('family', ['qwen2_5_vl', 'qwen3_5'])
@pytest.mark.parametrize('depth', [1, 2, 4])
def test_the_first_layers_give_what_the_stock_decoder_gives_of_them(family, depth):
    decoder = tiny_lmm(family, layers=4).model.language_model
    input_ids, seen = torch.tensor([[5, 9, 2, 7]]), []
    with torch.no_grad():
        expected = decoder(input_ids=input_ids, output_hidden_states=True)  # hangs hooks of its own on the layers
        hooks = num_hooks(decoder)
        made = first_layers(decoder, depth, seen=seen.append)(input_ids=input_ids)
    assert len(seen) == depth
    for found, hidden in zip(seen, expected.hidden_states[1:], strict=False):
        assert torch.equal(found, hidden)
    norm = expected.last_hidden_state if depth == 4 else decoder.norm(expected.hidden_states[depth])
    torch.testing.assert_close(made.last_hidden_state, norm, atol=1e-6, rtol=0)
    assert len(decoder.layers) == 4
    assert num_hooks(decoder) == hooks
