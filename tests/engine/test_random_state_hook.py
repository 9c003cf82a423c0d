import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from flmm.engine import RandomStateHook
from flmm.engine.loops import Passes
from flmm.engine.random_state import random_state, set_random_state
from flmm.registry import HOOKS


def draw():
    """Numbers of all three generators; odd numbers of Gaussians leave a cached one behind."""
    numpys = [np.random.rand(), np.random.randn()]  # noqa: NPY002 (mmengine seeds the global one)
    return [random.random(), random.gauss(0, 1), *numpys, torch.rand(2).tolist(), torch.randn(1).item()]


def seed(value):
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002
    torch.manual_seed(value)


@pytest.fixture(autouse=True)
def _own_random_state():
    state = random_state()
    yield
    set_random_state(state)


def run_at(iteration):
    return SimpleNamespace(iter=iteration)


def test_state_is_plain_and_complete(tmp_path):
    seed(0)
    draw()  # not only the state right after seeding
    torch.save(random_state(), tmp_path / 'state.pth')
    expected = draw()
    seed(1)

    set_random_state(torch.load(tmp_path / 'state.pth', weights_only=True))

    assert draw() == expected


def test_state_of_other_gpus_is_skipped(monkeypatch):
    """A checkpoint of a machine with more GPUs resumes here; what can't be restored is left."""
    seed(0)
    state = random_state() | {'cuda': [torch.zeros(16, dtype=torch.uint8)] * 3}
    expected = draw()
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setattr(torch.cuda, 'set_rng_state_all', lambda states: pytest.fail('must not be called'))

    set_random_state(state)

    assert draw() == expected


def test_state_of_as_many_gpus_is_restored(monkeypatch):
    states = [torch.full((16,), number, dtype=torch.uint8) for number in (1, 2)]
    restored = []
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'set_rng_state_all', restored.extend)
    set_random_state(random_state() | {'cuda': states})
    assert [state.tolist() for state in restored] == [state.tolist() for state in states]


def test_a_checkpoint_says_where_the_pass_through_the_data_is():
    seed(0)
    passes = Passes(DataLoader(range(5)))
    batches = passes.one()
    began = random_state()
    next(batches), next(batches)
    checkpoint = {'meta': {}}
    runner = SimpleNamespace(train_loop=SimpleNamespace(passes=passes))
    hook = HOOKS.build({'type': 'RandomStateHook'})
    hook.before_gather_checkpoint(runner)
    hook.before_save_checkpoint(runner, checkpoint)

    assert checkpoint['meta'] == {'pass_batches': 2, 'batches_per_pass': 5}
    (state,) = checkpoint['random_states']
    assert torch.equal(state['pass_start']['torch'], began['torch'])
    assert torch.equal(state['torch'], torch.get_rng_state())
    assert not torch.equal(began['torch'], torch.get_rng_state())


def test_mmengines_own_runner_cannot_resume():
    with pytest.raises(ValueError, match=r'SimpleNamespace cannot resume this run; use flmm\.engine\.GroundingRunner'):
        RandomStateHook().after_load_checkpoint(SimpleNamespace(_resume=True), {})
    assert RandomStateHook().after_load_checkpoint(SimpleNamespace(_resume=False), {}) is None


def test_validation_does_not_touch_the_random_numbers_of_training():
    seed(0)
    expected = draw()
    seed(0)
    hook = RandomStateHook()
    hook.before_val(run_at(4))
    draw()
    # written while validating, such as the checkpoint that notes a new best one
    runner, checkpoint = SimpleNamespace(train_loop=SimpleNamespace(passes=Passes(DataLoader(range(5))))), {'meta': {}}
    hook.before_gather_checkpoint(runner)
    hook.before_save_checkpoint(runner, checkpoint)
    hook.after_val(run_at(4))
    assert draw() == expected
    set_random_state(checkpoint['random_states'][0])
    assert draw() == expected
