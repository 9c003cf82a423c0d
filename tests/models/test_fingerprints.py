import copy

import pytest
import torch
from tiny_models import tiny_lmm
from torch import nn

from flmm.models.fingerprints import same_weights, weights_fingerprint


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float32])
def test_the_precision_in_which_weights_were_loaded_does_not_matter(dtype):
    published = tiny_lmm().to(torch.bfloat16)  # as checkpoints are
    with torch.no_grad():
        next(published.parameters()).view(-1)[0] = 1e-7  # float16 holds no digit of it
    assert weights_fingerprint(copy.deepcopy(published).to(dtype)) == weights_fingerprint(published)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float32])
def test_weights_that_were_stored_in_float32(dtype):
    """By way of float16, some of them become another bfloat16."""
    stored = tiny_lmm()
    with torch.no_grad():
        next(stored.parameters()).view(-1)[0] = 2**-16 * (1 - 2**-13)  # becomes 2**-16 in half precision
    stored, other = (weights_fingerprint(model) for model in (stored, tiny_lmm(seed=5)))
    model = tiny_lmm()
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = 2**-16 * (1 - 2**-13)
    loaded = weights_fingerprint(model.to(dtype))
    assert same_weights(loaded, stored)
    assert not same_weights(loaded, other)


def test_names_and_order_do_not_matter():
    first, second = nn.Linear(3, 4), nn.Linear(4, 5)
    here = nn.Sequential(first, second)
    there = nn.ModuleDict({'renamed': second, 'model': nn.ModuleDict({'first': first})})
    assert weights_fingerprint(here) == weights_fingerprint(there)


def test_other_weights_differ():
    model = tiny_lmm()
    found = {weights_fingerprint(tiny_lmm(seed=seed)) for seed in range(3)} | {weights_fingerprint(model)}
    assert len(found) == 3
    with torch.no_grad():
        model.lm_head.weight += 0.01 * torch.randn_like(model.lm_head.weight)  # a little training of one layer
    assert weights_fingerprint(model) not in found
    assert weights_fingerprint(nn.Linear(2, 3)) != weights_fingerprint(nn.Linear(3, 2))


def test_no_weights():
    assert weights_fingerprint(nn.ReLU()) is None
    assert weights_fingerprint(nn.Linear(2, 2, device='meta')) is None
