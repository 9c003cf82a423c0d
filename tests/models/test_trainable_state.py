import copy
import re

import pytest
import torch
from mmengine.model import BaseModel, ExponentialMovingAverage, is_model_wrapper
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner.checkpoint import get_state_dict
from mmengine.runner.checkpoint import load_state_dict as mmengine_load
from torch import nn

from flmm.models.trainable_state import keep_trainable_state, trainable_keys

TRAINABLE = {
    'head.0.weight',
    'head.0.bias',
    'head.1.weight',
    'head.1.bias',
    'head.1.running_mean',
    'head.1.running_var',
    'head.1.num_batches_tracked',
    'scale',
}


class Model(nn.Module):
    """A frozen backbone with a BatchNorm, a trained head with one, a trained parameter at the top."""

    def __init__(self, *, seed=0, head_width=3):
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)).requires_grad_(requires_grad=False)
        self.head = nn.Sequential(nn.Linear(2, head_width), nn.BatchNorm1d(head_width))
        self.head[1].running_mean.normal_()
        self.head[1].register_buffer('not_saved', torch.zeros(2), persistent=False)
        self.scale = nn.Parameter(torch.randn(3))
        keep_trainable_state(self, frozen=['backbone'])


@MODEL_WRAPPERS.register_module(force=True)
class TestWrapper(nn.Module):
    """Like DistributedDataParallel: torch sees ``module.`` in the keys, mmengine does not."""

    __test__ = False

    def __init__(self, module):
        super().__init__()
        self.module = module


def snapshot(model):
    return {name: tensor.detach().clone() for name, tensor in [*model.named_parameters(), *model.named_buffers()]}


def torch_strict(model, state):
    model.load_state_dict(state)


def torch_loose(model, state):
    model.load_state_dict(state, strict=False)


def mmengine_loose(model, state):
    mmengine_load(model, state, strict=False)


def mmengine_strict(model, state):
    mmengine_load(model, state, strict=True)


LOADERS = [torch_strict, torch_loose, mmengine_loose, mmengine_strict]
all_loaders = pytest.mark.parametrize('load', LOADERS)


@pytest.mark.parametrize('save', [lambda model: model.state_dict(), get_state_dict], ids=['torch', 'mmengine'])
def test_state_dict_holds_the_trainable_part(save):
    model = Model()
    state = save(model)
    assert set(state) == TRAINABLE == trainable_keys(model, ['backbone'])
    for key, value in state.items():
        assert torch.equal(
            value, model.get_parameter(key) if 'running' not in key and 'num_' not in key else model.get_buffer(key)
        )


@all_loaders
def test_loading_restores_the_trainable_part_alone(load):
    source, target = Model(seed=0), Model(seed=1)
    source.head[1].num_batches_tracked.fill_(5)
    before, expected = snapshot(target), snapshot(source)

    load(target, source.state_dict())

    for name, value in snapshot(target).items():
        assert torch.equal(value, expected[name] if name in TRAINABLE else before[name]), name
    assert not torch.equal(before['backbone.0.weight'], expected['backbone.0.weight'])


@all_loaders
@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda state: state.pop('scale'), '1 missing: scale.'),
        (lambda state: state.pop('head.1.running_var'), '1 missing: head.1.running_var.'),
        (lambda state: state.update({'head.2.weight': torch.zeros(1)}), '1 unexpected: head.2.weight.'),
        (lambda state: state.update({'backbone.0.bias': torch.zeros(2)}), '1 unexpected: backbone.0.bias.'),
        (
            lambda state: state.update({'head.0.bias': torch.zeros(5)}),
            '1 of another shape: head.0.bias has (5,), the model (3,).',
        ),
        (
            lambda state: state.update({'top': state.pop('scale'), 'head.0.bias': torch.zeros(())}),
            '1 missing: scale; 1 unexpected: top; 1 of another shape: head.0.bias has (), the model (3,).',
        ),
        (
            lambda state: state.clear(),
            '8 missing: head.0.bias, head.0.weight, head.1.bias, head.1.num_batches_tracked, head.1.running_mean, ....',
        ),
    ],
    ids=['missing', 'missing buffer', 'unexpected', 'frozen', 'reshaped', 'several', 'empty'],
)
def test_misfit_is_an_error_that_names_the_keys(load, change, message):
    model = Model(seed=1)
    state, before = Model().state_dict(), snapshot(model)
    change(state)

    expected = "the checkpoint does not hold this model's trainable part: " + message
    with pytest.raises(ValueError, match=f'^{re.escape(expected)} Load it with the config that it was trained with'):
        load(model, state)
    # nothing was loaded before the error
    assert all(torch.equal(value, before[name]) for name, value in snapshot(model).items())


@all_loaders
def test_full_state_dict_of_the_same_classes_is_refused(load):
    full = snapshot(Model())
    with pytest.raises(ValueError, match=r'7 unexpected: backbone\.0\.bias, backbone\.0\.weight, backbone\.1\.bias, '):
        load(Model(), {name: value for name, value in full.items() if 'not_saved' not in name})


@pytest.mark.parametrize('load', [torch_strict, torch_loose])
def test_inside_another_module(load):
    """The other module's own keys are saved and checked as ever."""
    outer, other = (nn.ModuleDict({'inner': Model(seed=seed), 'plain': nn.Linear(2, 2)}) for seed in (0, 1))
    state = outer.state_dict()
    assert set(state) == {f'inner.{key}' for key in TRAINABLE} | {'plain.weight', 'plain.bias'}

    load(other, state)
    assert torch.equal(other['inner'].scale, outer['inner'].scale)
    assert torch.equal(other['plain'].weight, outer['plain'].weight)

    del state['inner.scale']
    with pytest.raises(ValueError, match=r'1 missing: inner\.scale\.'):
        load(other, state)


def test_missing_keys_of_a_sibling_are_not_forgiven():
    """A sibling's key may end like the name of a frozen tensor of the model."""
    outer = nn.ModuleDict({'first_backbone': nn.Sequential(nn.Linear(4, 2)), 'inner': Model(), 'last': nn.Linear(1, 1)})
    outer['inner'].register_parameter('weight', nn.Parameter(torch.zeros(1), requires_grad=False))
    state = outer.state_dict()
    for key in ('first_backbone.0.weight', 'last.weight'):
        lacking = {name: value for name, value in state.items() if name != key}
        with pytest.raises(RuntimeError, match=f'Missing key.*"{key}"'):
            outer.load_state_dict(lacking)
        assert outer.load_state_dict(lacking, strict=False).missing_keys == [key]


def test_inside_a_distributed_wrapper():
    wrapper, other = TestWrapper(Model()), TestWrapper(Model(seed=1))
    assert is_model_wrapper(wrapper)
    assert set(wrapper.state_dict()) == {f'module.{key}' for key in TRAINABLE}
    assert set(get_state_dict(wrapper)) == TRAINABLE

    mmengine_load(other, get_state_dict(wrapper))
    assert torch.equal(other.module.scale, wrapper.module.scale)
    other = TestWrapper(Model(seed=1))
    other.load_state_dict(wrapper.state_dict())
    assert torch.equal(other.module.scale, wrapper.module.scale)

    with pytest.raises(ValueError, match=r'1 missing: module\.scale\.'):
        other.load_state_dict({key: value for key, value in wrapper.state_dict().items() if key != 'module.scale'})


@pytest.mark.parametrize('part', ['', 'head', 'head.0', 'backbone'])
@pytest.mark.parametrize('requires_grad', [True, False])
def test_what_is_trainable_does_not_depend_on_requires_grad(part, requires_grad):
    """A head that is frozen by hand, a model for inference, an average of weights: all keep their part."""
    model, expected = Model(), Model().state_dict()
    model.get_submodule(part).requires_grad_(requires_grad=requires_grad)

    for copied in (model, copy.deepcopy(model)):
        assert_same_state(copied.state_dict(), expected)
        mmengine_loose(copied, Model(seed=1).state_dict())
        assert_same_state(copied.state_dict(), Model(seed=1).state_dict())
        mmengine_loose(copied, expected)


def assert_same_state(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


def test_averages_of_weights_hold_the_trainable_part():
    for averaged in (ExponentialMovingAverage(Model(), momentum=0.1), torch.optim.swa_utils.AveragedModel(Model())):
        keys = {key.removeprefix('module.') for key in averaged.state_dict() if key.startswith('module.')}
        assert keys == TRAINABLE
        averaged.update_parameters(Model(seed=1))
        assert torch.equal(averaged.state_dict()['module.scale'], Model(seed=1).scale)
        averaged.load_state_dict(averaged.state_dict())


def test_a_module_that_begins_like_a_frozen_one_is_trained():
    model = nn.ModuleDict({'lmm': nn.Linear(1, 1), 'lmm_adapter': nn.Linear(1, 1)})
    assert trainable_keys(model, ['lmm']) == {'lmm_adapter.weight', 'lmm_adapter.bias'}


@all_loaders
def test_buffers_that_are_not_trained_may_come_along_if_they_are_the_models_own(load):
    def with_matrix(seed):
        model = Model(seed=seed)
        model.frequencies = nn.Module()
        model.frequencies.register_buffer('matrix', torch.arange(4.0))
        return model

    source, target = with_matrix(0), with_matrix(1)
    assert set(source.state_dict()) == TRAINABLE
    load(target, {**source.state_dict(), 'frequencies.matrix': torch.arange(4.0)})
    assert torch.equal(target.scale, source.scale)

    for other in (torch.arange(4.0) + 1, torch.arange(5.0)):
        with pytest.raises(ValueError, match=r'1 unexpected: frequencies\.matrix\.'):
            load(target, {**source.state_dict(), 'frequencies.matrix': other})


@all_loaders
def test_shared_tensors_keep_both_keys(load):
    def tied(seed):
        torch.manual_seed(seed)
        model = nn.Module()
        model.embed, model.unembed = nn.Embedding(3, 2), nn.Linear(2, 3, bias=False)
        model.unembed.weight = model.embed.weight
        model.twin = nn.ModuleList([nn.Linear(1, 1)] * 2)
        model.frozen = nn.Linear(1, 1).requires_grad_(requires_grad=False)
        model.frozen_twin = model.frozen
        keep_trainable_state(model, frozen=['frozen', 'frozen_twin'])
        return model

    source, target = tied(0), tied(1)
    state = source.state_dict()
    assert set(state) == {
        'embed.weight', 'unembed.weight', 'twin.0.weight', 'twin.0.bias', 'twin.1.weight', 'twin.1.bias',
    }  # fmt: skip
    load(target, state)
    assert torch.equal(target.unembed.weight, source.embed.weight)
    assert target.unembed.weight is target.embed.weight

    state['unembed.weight'] = torch.zeros(4, 2)
    with pytest.raises(ValueError, match=r'1 of another shape: unembed\.weight has \(4, 2\), the model \(3, 2\)'):
        load(target, state)


def test_deep_copies_check_their_own_keys():
    model = copy.deepcopy(Model())
    model.extra = nn.Parameter(torch.zeros(1))
    assert set(model.state_dict()) == TRAINABLE | {'extra'}
    with pytest.raises(ValueError, match='1 missing: extra'):
        model.load_state_dict(Model().state_dict())


def test_base_model_of_mmengine():
    """What FrozenLMM is built on adds a data preprocessor, which has buffers of its own."""

    class Grounder(BaseModel):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(1, 1)
            self.frozen = nn.Linear(1, 1).requires_grad_(requires_grad=False)
            keep_trainable_state(self, frozen=['frozen'])

        def forward(self, inputs):
            return inputs

    state = Grounder().state_dict()
    assert set(state) == {'head.weight', 'head.bias'}
    assert mmengine_load(Grounder(), state, strict=True) is None
