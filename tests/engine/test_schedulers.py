import math

import pytest
import torch
from mmengine.optim.scheduler import LinearLR as MMEngineLinearLR

from flmm.engine import ConstantLR, LinearLR, WarmupCosineLR
from flmm.registry import PARAM_SCHEDULERS

BASE = 1e-4


def rates(make, num_iters):
    """The rates with which the optimizer really steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    scheduler = make(optimizer)
    used = []
    for _ in range(num_iters):
        used.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return used


@pytest.mark.parametrize('warmup', [0.0, 0.03, 0.1, 0.5, 0.99])
@pytest.mark.parametrize('total', [1, 2, 3, 5, 6, 7, 8, 19, 40, 1000])
def test_every_run_reaches_the_base_rate(total, warmup):
    used = rates(
        lambda optimizer: WarmupCosineLR(optimizer, end=total, by_epoch=False, warmup=warmup, start_factor=1e-5), total
    )

    num_warmup = min(round(warmup * total), total - 1)
    expected = [BASE * (1e-5 + (1 - 1e-5) * t / num_warmup) for t in range(num_warmup)]
    length = total - num_warmup
    expected += [BASE * (1 + math.cos(math.pi * t / length)) / 2 for t in range(length)]
    assert used == pytest.approx(expected, rel=1e-12)
    assert max(used) == BASE


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'by_epoch': True}, 'WarmupCosineLR counts iterations: set by_epoch=False'),
        ({'warmup': 1.0}, 'warmup is 1.0, expected 0 to below 1'),
        ({'warmup': -0.1}, 'warmup is -0.1, expected 0 to below 1'),
        ({'start_factor': 2}, 'start_factor is 2, expected 0 to 1'),
    ],
)
def test_numbers_out_of_range(options, message):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    with pytest.raises(ValueError, match=message):
        WarmupCosineLR(optimizer, end=10, **{'by_epoch': False, **options})


def test_linear_warmup_over_one_iteration_does_not_stay_at_its_start():
    make = {'start_factor': 1e-5, 'begin': 0, 'end': 1, 'by_epoch': False}
    assert rates(lambda optimizer: MMEngineLinearLR(optimizer, **make), 3) == [BASE * 1e-5] * 3  # why there is ours
    assert rates(lambda optimizer: LinearLR(optimizer, **make), 3) == [BASE] * 3
    assert rates(lambda optimizer: LinearLR(optimizer, **{**make, 'end_factor': 0.5}), 2) == [BASE / 2] * 2


@pytest.mark.parametrize('length', [2, 3, 8])
def test_longer_linear_warmups_are_mmengines(length):
    make = {'start_factor': 0.1, 'begin': 0, 'end': length, 'by_epoch': False}
    used = rates(lambda optimizer: LinearLR(optimizer, **make), length + 2)
    assert used == rates(lambda optimizer: MMEngineLinearLR(optimizer, **make), length + 2)
    assert used[-1] == pytest.approx(BASE)


@pytest.mark.parametrize('length', [1, 2, 4])
def test_a_constant_factor_is_taken_back(length):
    used = rates(lambda optimizer: ConstantLR(optimizer, factor=0.1, begin=0, end=length, by_epoch=False), length + 1)
    assert used[-1] == pytest.approx(BASE)


def test_configs_get_these():
    """A config under flmm's scope that says LinearLR, by epochs, gets the one that reaches its end."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    config = {'type': 'LinearLR', 'start_factor': 1e-5, 'begin': 0, 'end': 0.24, 'convert_to_iter_based': True}
    scheduler = PARAM_SCHEDULERS.build(config, default_args={'optimizer': optimizer, 'epoch_length': 6})
    assert isinstance(scheduler, LinearLR)
    assert optimizer.param_groups[0]['lr'] == BASE
