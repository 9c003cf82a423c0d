"""A loss or a gradient that is not finite: training stops, names what it was, and leaves good checkpoints."""

import pytest
import torch
from mmdet.models.losses import CrossEntropyLoss
from mmengine.hooks import EMAHook
from same_run import load
from tiny_models import tiny_lmm, tiny_processor
from tiny_refcoco import run_tool, train

from flmm.engine import FiniteCheckHook
from flmm.models.finite import NonFiniteError
from flmm.registry import MODELS


@MODELS.register_module(force=True)
class PoisonedLoss(CrossEntropyLoss):
    """Cross entropy whose value or gradient is nan in some calls; four calls (two images twice) make an iteration."""

    def __init__(self, *, calls, in_gradient, **kwargs):
        super().__init__(**kwargs)
        self.calls, self.in_gradient, self.count = calls, in_gradient, 0  # None: in the value alone

    def forward(self, prediction, target):
        loss = super().forward(prediction, target)
        self.count += 1
        if self.count not in self.calls:
            return loss
        if self.in_gradient is None:
            return loss + torch.nan
        if not self.in_gradient:
            return loss * torch.nan
        zero = (prediction * 0).sum()
        return loss + zero.sqrt() - zero.sqrt().detach()  # the gradient of the root at 0 is infinite, times 0


@pytest.fixture
def poisoned(config, tmp_path):
    def write(calls, *, in_gradient=False, max_streak=1):
        path = tmp_path / 'poisoned.py'
        path.write_text(
            f'_base_ = {str(config)!r}\n'
            f"model = dict(loss_mask=dict(_delete_=True, type='PoisonedLoss', use_sigmoid=True, calls={calls}, "
            f'in_gradient={in_gradient}))\n'
            f'default_hooks = dict(finite_check=dict(max_streak={max_streak}), '
            'checkpoint=dict(by_epoch=False, interval=1, max_keep_ckpts=-1))\n'
            "train_dataloader = dict(sampler=dict(shuffle=False), dataset=dict(text_mode='select_first'))\n"
        )
        return path

    return write


THIRD = [9, 10, 11, 12]
"""The calls of the third iteration."""


@pytest.mark.parametrize('in_gradient', [False, True])
def test_training_stops_and_the_last_checkpoint_is_good(poisoned, tmp_path, in_gradient):
    what = 'gradient' if in_gradient else 'loss'
    with pytest.raises(NonFiniteError, match=rf'iteration 3: the {what} is not finite \(.*so no weight was') as error:
        train(poisoned(THIRD, in_gradient=in_gradient), tmp_path / 'run')

    message = str(error.value)
    assert '1.png' in message
    assert "['red', 'left']" in message  # the phrases of the first image
    assert 'stage: the losses or their gradient; all predictions are finite' in message
    assert message.endswith('last checkpoint: ' + str(tmp_path / 'run' / 'iter_2.pth'))
    assert not (tmp_path / 'run' / 'iter_3.pth').exists()
    assert all(value.isfinite().all() for value in load(tmp_path / 'run' / 'iter_2.pth')['state_dict'].values())


@pytest.mark.parametrize('in_gradient', [False, None])
def test_a_streak_may_be_longer(poisoned, tmp_path, in_gradient):
    """The update is skipped, weights and moments are as before; the next one counts again."""
    train(poisoned(THIRD, in_gradient=in_gradient, max_streak=2), tmp_path / 'run')
    second, third, fourth = (load(tmp_path / 'run' / f'iter_{number}.pth') for number in (2, 3, 4))
    for key, value in second['state_dict'].items():
        assert torch.equal(third['state_dict'][key], value), key
    assert not torch.equal(third['state_dict']['text_proj.weight'], fourth['state_dict']['text_proj.weight'])
    assert all(value.isfinite().all() for value in fourth['state_dict'].values())
    assert all(state['step'] == 3 for state in fourth['optimizer']['state'].values())
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'iteration 3: the loss is not finite' in log

    if in_gradient is None:
        return
    with pytest.raises(NonFiniteError, match='iteration 3: '):
        train(poisoned(range(5, 13), max_streak=2), tmp_path / 'two')


def test_an_lmm_that_overflows_is_named(config, tmp_path, trained):
    """A float16 LMM with an infinite weight: training names the stage, testing too, and nothing is scored."""
    lmm, model = tmp_path / 'overflowing', tiny_lmm()
    with torch.no_grad():
        model.model.language_model.layers[0].self_attn.v_proj.weight[:] = torch.inf
    model.save_pretrained(lmm)
    tiny_processor().save_pretrained(lmm)
    path = tmp_path / 'overflowing.py'
    path.write_text(f'_base_ = {str(config)!r}\nmodel = dict(lmm=dict(name_or_path={str(lmm)!r}))\n')
    with pytest.raises(
        NonFiniteError, match=r"iteration 1: .*stage: image '.*\d\.png': the LMM's attention gave .* not"
    ):
        train(path, tmp_path / 'run')
    assert not list((tmp_path / 'run').glob('*.pth'))

    checkpoint = load(trained.work_dir / 'epoch_2.pth')
    del checkpoint['meta']['frozen_parts']
    torch.save(checkpoint, tmp_path / 'trained.pth')
    with pytest.raises(NonFiniteError, match=r"^image '.*\d\.png': the LMM's attention gave"):
        run_tool('test', path, tmp_path / 'trained.pth', '--work-dir', tmp_path / 'tested')
    assert not (tmp_path / 'tested' / 'metrics.json').exists()


def test_a_checkpoint_that_is_not_finite_is_not_written(poisoned, tmp_path, monkeypatch):
    """Whatever made it so: here a hook that spoils the weights."""
    spoiled = FiniteCheckHook.after_train_iter

    def after_train_iter(self, runner, *args, **kwargs):
        spoiled(self, runner, *args, **kwargs)
        runner.model.text_proj.bias.data[0] = torch.nan

    monkeypatch.setattr(FiniteCheckHook, 'after_train_iter', after_train_iter)
    with pytest.raises(
        NonFiniteError, match=r'1 tensors of the checkpoint are not finite \(state_dict\.text_proj\.bias\)'
    ):
        train(poisoned([]), tmp_path / 'run')
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_an_average_that_is_not_finite_is_not_written(poisoned, tmp_path, monkeypatch):
    """EMAHook adds averages to a checkpoint, and exchanges them with the weights."""
    spoiled = EMAHook.after_train_iter

    def after_train_iter(self, runner, *args, **kwargs):
        spoiled(self, runner, *args, **kwargs)
        self.ema_model.module.text_proj.bias.data[0] = torch.nan

    monkeypatch.setattr(EMAHook, 'after_train_iter', after_train_iter)
    path = poisoned([])
    path.write_text(path.read_text() + "custom_hooks = [dict(type='EMAHook')]\n")
    with pytest.raises(
        NonFiniteError, match=r'1 tensors of the checkpoint are not finite \(state_dict\.text_proj\.bias'
    ):
        train(path, tmp_path / 'run')
    assert not list((tmp_path / 'run').glob('*.pth'))
