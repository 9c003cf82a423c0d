"""A checkpoint that is cut off at any byte, or of which bytes are others, is named; nothing of it is loaded."""

import copy

import pytest
import torch
from safetensors.torch import save_file
from tiny_grounder import tiny_grounder

from flmm.models.checkpoints import load_trained


@pytest.fixture(scope='module', params=['pth', 'safetensors'])
def written(request, tmp_path_factory):
    path = tmp_path_factory.mktemp('written') / f'trained.{request.param}'
    state = tiny_grounder(seed=3).state_dict()
    if request.param == 'pth':
        torch.save({'state_dict': state}, path)
    else:
        save_file(state, path)
    return path


@pytest.mark.parametrize('part', [0.0, 1e-6, 1e-4, 0.01, 0.3, 0.5, 0.9, 0.999, 1.0])
def test_a_checkpoint_that_is_cut_off(written, tmp_path, part):
    content = written.read_bytes()
    path = tmp_path / written.name
    path.write_bytes(content[: min(int(part * len(content)), len(content) - 1)])
    model = tiny_grounder(seed=0)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=rf"checkpoint '{path}' cannot be read as plain data"):
        load_trained(model, path)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    'content', [b'<!DOCTYPE html>', bytes(10_000), b'PK\x03\x04' + bytes(500), b'\x80\x02}.', b'{}']
)
def test_another_file_under_the_name_of_a_checkpoint(written, tmp_path, content):
    path = tmp_path / written.name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"checkpoint '{path}'|the model lacks|missing"):
        load_trained(tiny_grounder(), path)


@pytest.mark.parametrize('change', ['missing', 'unexpected', 'shape'])
def test_weights_of_other_names_or_shapes(tmp_path, change):
    state = dict(tiny_grounder(seed=3).state_dict())
    if change == 'missing':
        del state['text_proj.bias']
    elif change == 'unexpected':
        state['text_proj.scale'] = torch.ones(3)
    else:
        state['text_proj.bias'] = torch.ones(3)
    torch.save({'state_dict': state}, tmp_path / 'other.pth')
    model = tiny_grounder(seed=0)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=rf'{change}.*text_proj\.{"scale" if change == "unexpected" else "bias"}'):
        load_trained(model, tmp_path / 'other.pth')
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
