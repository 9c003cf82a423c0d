"""Parts of PyTorch and mmengine that users add by config, and that must work with this package's own checks."""

import json
import math

import pytest
import torch
from mmengine.config import Config
from same_run import assert_same, assert_same_run, load
from tiny_refcoco import REPOSITORY, run_tool, train

from flmm.models import FrozenQwenSAM


@pytest.fixture
def variant(config, tmp_path):
    """Write a config that adds ``text`` to the tiny one."""

    def write(text):
        path = tmp_path / 'variant.py'
        path.write_text(f'_base_ = {str(config)!r}\n{text}\n')
        return path

    return write


def validated(work_dir):
    """The metrics of the last validation."""
    (path,) = sorted(work_dir.glob('*/vis_data/scalars.json'))[-1:]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if 'shapes_val_first_sentence/refined/mIoU' in line][-1]


EMA = "custom_hooks = [dict(type='EMAHook', momentum=0.4)]"


def test_ema_trains_validates_saves_tests_and_resumes_to_the_same_figures(variant, tmp_path):
    config, straight, resumed = variant(EMA), tmp_path / 'straight', tmp_path / 'resumed'
    train(config, straight)
    first, final = load(straight / 'epoch_1.pth'), load(straight / 'epoch_2.pth')
    averages = final['state_dict']
    raw = {key.removeprefix('module.'): value for key, value in final['ema_state_dict'].items() if key != 'steps'}
    assert raw.keys() == averages.keys()
    changed = [key for key in raw if not torch.equal(raw[key], averages[key])]
    assert any(key.startswith('mask_head.') for key in changed)
    assert final['ema_state_dict']['steps'] == 4

    train(config, resumed, resume=['--resume', straight / 'epoch_1.pth'])
    assert_same_run(load(resumed / 'epoch_2.pth'), final)
    assert_same(load(resumed / 'epoch_2.pth')['ema_state_dict'], final['ema_state_dict'], 'ema_state_dict')
    assert not torch.equal(first['state_dict']['text_proj.weight'], averages['text_proj.weight'])

    run_tool(
        'test', config, straight / 'epoch_2.pth', '--work-dir', tmp_path / 'tested', '--cfg-options',
        'test_dataloader.dataset.splits=(val,)', '+test_dataloader.dataset.protocols=(first_sentence,)',
    )  # fmt: skip
    tested = json.loads((tmp_path / 'tested' / 'metrics.json').read_text())
    del tested['run']
    expected = validated(straight)
    assert tested
    for key, value in tested.items():
        assert value == pytest.approx(expected[key], abs=1e-9), key


def test_bare_weights_are_tested_with_ema_in_the_config(variant, trained, tmp_path):
    torch.save(load(trained.work_dir / 'epoch_2.pth')['state_dict'], tmp_path / 'bare.pth')
    options = ['--cfg-options', 'test_dataloader.dataset.splits=(val,)', '+test_dataloader.dataset.indices=1']
    found = []
    for name, config in (('plain', trained.config), ('averaged', variant(EMA))):
        run_tool('test', config, tmp_path / 'bare.pth', '--work-dir', tmp_path / name, *options)
        found.append(json.loads((tmp_path / name / 'metrics.json').read_text()))
        del found[-1]['run']
    assert found[0] == found[1]


def test_an_average_is_computed_over_the_raw_weights(variant, tmp_path):
    """Of the four iterations: w0, then each time 0.6 of the average and 0.4 of the new weights."""
    options = ['train_dataloader.batch_size=2', '+default_hooks.checkpoint.by_epoch=False']
    options += ['default_hooks.checkpoint.interval=1', 'default_hooks.checkpoint.max_keep_ckpts=-1']
    train(variant('default_hooks = dict()'), tmp_path / 'plain', *options)
    train(variant(EMA), tmp_path / 'averaged', *options)

    key = 'text_proj.weight'
    weights = [load(tmp_path / 'plain' / f'iter_{number}.pth')['state_dict'][key].double() for number in range(1, 5)]
    average = weights[0]  # mmengine begins with a copy
    for number in (1, 2, 3):
        average = 0.6 * average + 0.4 * weights[number]
    found = load(tmp_path / 'averaged' / 'iter_4.pth')
    torch.testing.assert_close(found['state_dict'][key].double(), average, rtol=0, atol=1e-7)
    assert torch.equal(found['ema_state_dict'][f'module.{key}'].double(), weights[3])


def test_hooks_of_ones_own_do_not_replace_those_that_checkpoints_need(variant, tmp_path):
    train(variant("custom_hooks = [dict(type='mmdet.CheckInvalidLossHook', interval=1)]"), tmp_path / 'run')
    checkpoint = load(tmp_path / 'run' / 'epoch_2.pth')  # plain data
    assert 'pass_start' in checkpoint['random_states'][0]
    assert checkpoint['meta']['frozen_parts']['merge of tokens'] == 'mean'


def test_gradients_are_accumulated(variant, tmp_path):
    """Two batches of one image make an update, of the mean of their gradients."""
    text = (
        'train_cfg = dict(max_epochs=1)\nparam_scheduler = None\n'
        'train_dataloader = dict(batch_size=1, sampler=dict(shuffle=False), dataset=dict(indices=[1, 2], '
        "text_mode='select_first'))\n"
        "optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=1.0), clip_grad=None)\n"
    )
    train(variant(text), tmp_path / 'accumulated', '+optim_wrapper.accumulative_counts=2')
    train(variant(text), tmp_path / 'together', 'train_dataloader.batch_size=2')
    one, two = (load(tmp_path / name / 'epoch_1.pth')['state_dict'] for name in ('accumulated', 'together'))
    for key, value in two.items():  # one phrase an image: the mean over batches is the mean over masks
        torch.testing.assert_close(one[key], value, rtol=0, atol=2e-6)


def test_a_train_loop_of_mmengines_own_is_refused(variant, tmp_path):
    """Its checkpoints could not say where in the data they were written."""
    config = variant("train_cfg = dict(_delete_=True, type='mmengine.EpochBasedTrainLoop', max_epochs=1)")
    with pytest.raises(
        ValueError, match=r'a mmengine\.runner\.loops\.EpochBasedTrainLoop, expected .* of flmm\.engine'
    ):
        train(config, tmp_path / 'run')


def test_datasets_are_concatenated(variant, tmp_path):
    text = (
        'train = {{_base_.train_dataloader.dataset}}\nval = {{_base_.val_dataloader.dataset}}\n'
        "train_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset', datasets=[train, train]))\n"
        "val_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset', datasets=[val]))\n"
    )
    train(variant(text), tmp_path / 'run', 'train_cfg.max_epochs=1')
    assert load(tmp_path / 'run' / 'epoch_1.pth')['meta']['iter'] == 4  # twice four images, in batches of two
    assert math.isfinite(validated(tmp_path / 'run')['shapes_val_first_sentence/refined/mIoU'])


def test_a_frozen_head_is_saved_and_loads(config, tmp_path, trained, monkeypatch):
    """Frozen by hand after construction, as somebody does who trains SAM alone."""
    init = FrozenQwenSAM.__init__

    def frozen(self, **kwargs):
        init(self, **kwargs)
        self.mask_head.requires_grad_(requires_grad=False)

    monkeypatch.setattr(FrozenQwenSAM, '__init__', frozen)
    train(config, tmp_path / 'run', f'load_from={trained.work_dir / "epoch_1.pth"}', 'train_cfg.max_epochs=1')

    before, after = (
        load(trained.work_dir / 'epoch_1.pth')['state_dict'],
        load(tmp_path / 'run' / 'epoch_1.pth')['state_dict'],
    )
    assert before.keys() == after.keys()
    for key in before:
        if key.startswith('mask_head.'):
            assert torch.equal(before[key], after[key])
    assert not torch.equal(before['text_proj.weight'], after['text_proj.weight'])


@pytest.mark.parametrize('schedule', ['adamw_1e', 'adamw_8e'])
@pytest.mark.parametrize(('num_images', 'max_epochs'), [(1, 1), (2, 2), (4, 3)])
def test_a_run_on_few_images_reaches_the_base_rate(variant, tmp_path, schedule, num_images, max_epochs):
    """The published schedules, whatever the number of iterations; no option set."""
    published = Config.fromfile(REPOSITORY / 'configs' / '_base_' / 'schedules' / f'{schedule}.py').param_scheduler
    config = variant(f'param_scheduler = dict(_delete_=True, **{dict(published)})\nval_cfg = val_dataloader = None')
    options = [
        f'train_cfg.max_epochs={max_epochs}',
        f'+train_dataloader.dataset.indices={num_images}',
        'val_evaluator=None',
    ]
    train(config, tmp_path / 'run', *options, 'train_dataloader.batch_size=1')

    scalars = load(tmp_path / 'run' / f'epoch_{max_epochs}.pth')['message_hub']['log_scalars']
    rates = scalars['train/lr']['log_history'].tolist()
    assert len(rates) == num_images * max_epochs
    assert max(rates) == 2e-3


@pytest.mark.parametrize('name', ['LinearLR', 'ConstantLR', 'LinearMomentum'])
def test_a_schedule_of_mmengine_that_would_stay_at_its_start_is_refused(variant, tmp_path, name):
    """Asked for by its scope, past this package's own; over two steps it is mmengine's to use."""
    config = variant(f"param_scheduler = [dict(type='mmengine.{name}', begin=0, end=1, by_epoch=False)]")
    message = rf"mmengine's {name} over the single step 0 would keep the value .* set type='{name}' without a scope"
    with pytest.raises(ValueError, match=message):
        train(config, tmp_path / 'run')
