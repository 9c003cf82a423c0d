import math

import pytest
import torch
from mmengine.optim.scheduler import LinearLR as MMEngineLinearLR

from flmm.engine import (
    ConstantLR,
    ConstantMomentum,
    ConstantParamScheduler,
    LinearLR,
    LinearMomentum,
    LinearParamScheduler,
    WarmupCosineLR,
)
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


@pytest.mark.parametrize('scheduler', [LinearMomentum, ConstantMomentum])
def test_momentum_over_one_iteration_does_not_stay_at_its_start(scheduler):
    """Of Adam it is the first beta."""
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE, momentum=0.8)
    adam = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=BASE, betas=(0.8, 0.99))
    for optimizer in (sgd, adam):
        made = PARAM_SCHEDULERS.build(
            {'type': scheduler.__name__, 'begin': 0, 'end': 1, 'by_epoch': False},
            default_args={'optimizer': optimizer},
        )
        assert isinstance(made, scheduler)
    assert sgd.param_groups[0]['momentum'] == 0.8
    assert adam.param_groups[0]['betas'] == (0.8, 0.99)


@pytest.mark.parametrize('scheduler', [LinearParamScheduler, ConstantParamScheduler])
def test_other_settings_over_one_iteration_do_not_stay_at_their_start(scheduler):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], weight_decay=0.5)
    scheduler(optimizer, 'weight_decay', begin=0, end=1, by_epoch=False)
    assert optimizer.param_groups[0]['weight_decay'] == 0.5


@pytest.mark.parametrize('epoch_length', [1, 2, 4, 7, 49, 1000])
@pytest.mark.parametrize(('begin', 'end'), [(0, 0.03), (0, 0.24), (1, 1.001), (0.5, 0.9)])
def test_a_share_of_an_epoch_is_an_iteration_at_least(epoch_length, begin, end):
    """As in F-LMM's own configs, whose warm-up is 0.24 of an epoch: mmengine refuses it if that is no iteration."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    made = LinearLR.build_iter_from_epoch(
        optimizer, start_factor=1e-5, begin=begin, end=end, by_epoch=True, epoch_length=epoch_length
    )
    assert made.begin == int(begin * epoch_length)
    assert made.end == max(int(end * epoch_length), made.begin + 1)
    for _ in range(made.end):
        optimizer.step()
        made.step()
    assert optimizer.param_groups[0]['lr'] == pytest.approx(BASE)


def test_a_share_that_is_negative_stays_an_error():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    with pytest.raises(ValueError, match='end should be larger than begin, but got begin=2, end=1'):
        LinearLR.build_iter_from_epoch(optimizer, begin=2, end=1, epoch_length=1)


def test_a_whole_run_has_no_epochs_to_convert():
    config = {'type': 'WarmupCosineLR', 'by_epoch': True, 'convert_to_iter_based': True}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    with pytest.raises(ValueError, match='WarmupCosineLR counts iterations: set by_epoch=False, without convert_to'):
        PARAM_SCHEDULERS.build(config, default_args={'optimizer': optimizer, 'epoch_length': 6})
