import pytest
import torch
from mmengine.logging import MessageHub
from tiny_samples import pruned, tiny_sample

from flmm.apt.layout import TokenLayout
from flmm.engine import ThroughputHook
from flmm.engine import throughput_hook as module


class Runner:
    """What the hook takes of a runner, with the seconds that IterTimerHook measured."""

    def __init__(self, name):
        self.message_hub = MessageHub.get_instance(name)

    def step(self, samples, *, seconds):
        self.message_hub.update_scalar('train/time', seconds)
        ThroughputHook().after_train_iter(self, 0, {'data_samples': samples})

    def mean(self, key, window=10):
        return self.message_hub.get_scalar(f'train/{key}').mean(window)


@pytest.fixture
def samples():
    """Two, with two phrases each: one with a token for each unit, one whose first 2x2 units are one token."""
    dense = tiny_sample(['a', 'some blue circle'])
    h, w = dense.grid_size
    tokens = torch.tensor([[0, 0, 2]] + [[row, column, 1] for row in range(h) for column in range(w)])
    keep = (tokens[:, 2] == 2) | (tokens[:, 0] >= 2) | (tokens[:, 1] >= 2)
    order = (tokens[:, 0] * w + tokens[:, 1]).argsort(stable=True)
    layout = TokenLayout(tokens=tokens[order][keep[order]], grid_size=(h, w))
    layout.check()
    return dense.with_outputs(sample_idx=1), pruned(dense, layout).with_outputs(sample_idx=2)


def test_rates_are_sums_over_the_seconds_of_the_window(samples):
    runner, (first, second) = Runner('throughput_rates'), samples
    runner.step([first, second], seconds=0.5)
    runner.step([first], seconds=1.5)
    assert runner.mean('images_per_s') == pytest.approx(3 / 2, rel=1e-12)
    assert runner.mean('phrases_per_s') == pytest.approx(3 * first.num_masks / 2, rel=1e-12)
    assert runner.mean('images_per_s', window=1) == pytest.approx(1 / 1.5, rel=1e-5)  # of whole microseconds


def test_samples_of_one_item_are_one_image(samples):
    runner, (first, _) = Runner('throughput_items'), samples
    runner.step([first, first], seconds=1.0)
    assert runner.mean('images_per_s') == 1
    assert runner.mean('phrases_per_s') == 2 * first.num_masks


def test_kept_tokens_are_a_share_of_all_units(samples):
    runner, (first, second) = Runner('throughput_tokens'), samples
    units = first.grid_size[0] * first.grid_size[1]
    runner.step([first], seconds=1.0)
    assert runner.mean('kept_tokens') == 1
    runner.step([second], seconds=1.0)
    assert runner.mean('kept_tokens', window=1) == pytest.approx((units - 3) / units)
    assert runner.mean('kept_tokens') == pytest.approx((2 * units - 3) / (2 * units))


def test_all_processes_count(samples, monkeypatch):
    """Of three processes with the same batch."""
    monkeypatch.setattr(module, 'all_reduce', lambda totals: totals.mul_(3))
    runner, (first, _) = Runner('throughput_processes'), samples
    runner.step([first], seconds=2.0)
    assert runner.mean('images_per_s') == pytest.approx(1.5)
    assert runner.mean('kept_tokens') == 1


def test_memory_of_the_process_is_in_mib(samples):
    runner, (first, _) = Runner('throughput_memory'), samples
    runner.step([first], seconds=1.0)
    before = runner.mean('host_memory', window=1)
    held = torch.ones(400 * 2**20, dtype=torch.uint8)
    runner.step([first], seconds=1.0)
    assert len(held) == 400 * 2**20
    with open('/proc/self/status') as status:
        (peak,) = [int(line.split()[1]) / 1024 for line in status if line.startswith('VmHWM')]
    assert runner.mean('host_memory', window=1) == pytest.approx(peak, rel=0.05)
    assert runner.mean('host_memory', window=1) >= before
