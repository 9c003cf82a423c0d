import math
import random
import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from same_run import assert_same_run, load
from tiny_refcoco import REPOSITORY, run_tool


def test_resumed_run_is_the_uninterrupted_one(trained, tmp_path):
    work_dir = tmp_path / 'resumed'
    one_epoch = ['--cfg-options', 'train_cfg.max_epochs=1', 'experiment_name=resumed_1']
    run_tool('train', trained.config, '--work-dir', work_dir, *one_epoch)
    assert not (work_dir / 'epoch_2.pth').exists()

    run_tool('train', trained.config, '--work-dir', work_dir, '--resume', '--cfg-options', 'experiment_name=resumed_2')
    numbers = (random.random(), float(np.random.rand()), float(torch.rand(())))  # noqa: NPY002

    assert numbers == trained.next_numbers
    assert_same_run(load(work_dir / 'epoch_1.pth'), load(trained.work_dir / 'epoch_1.pth'))
    final = load(trained.work_dir / 'epoch_2.pth')
    assert_same_run(load(work_dir / 'epoch_2.pth'), final)
    assert (final['meta']['epoch'], final['meta']['iter']) == (2, 4)


def test_resumed_run_with_workers_is_the_uninterrupted_one(config, tmp_path):
    """Workers draw random sentences; a resumed run starts new ones, which must go on where the old ones were."""
    straight, resumed = tmp_path / 'straight', tmp_path / 'resumed'
    workers = ['--cfg-options', 'train_dataloader.num_workers=2']
    run_tool('train', config, '--work-dir', straight, *workers, 'experiment_name=workers_1')

    given = ['--resume', straight / 'epoch_1.pth']
    run_tool('train', config, '--work-dir', resumed, *given, *workers, 'experiment_name=workers_2')

    assert not (resumed / 'epoch_1.pth').exists()
    assert_same_run(load(resumed / 'epoch_2.pth'), load(straight / 'epoch_2.pth'))


def test_training_changed_the_weights_and_the_schedule_ran(trained):
    first, second = (load(trained.work_dir / f'epoch_{epoch}.pth') for epoch in (1, 2))

    changed = [key for key, value in first['state_dict'].items() if not torch.equal(value, second['state_dict'][key])]
    for part in ('mask_head.', 'text_proj.', 'text_layer_weights', 'sam.model.mask_decoder.'):
        assert any(key.startswith(part) for key in changed), part
    # an epoch of warm-up (2 iterations), then two of a cosine (4 iterations)
    expected = [1e-3, 2e-3, 2e-3, 2e-3 * (1 + math.cos(math.pi / 4)) / 2]
    rates = second['message_hub']['log_scalars']['train/lr']['log_history'].tolist()
    assert rates == pytest.approx(expected, rel=1e-6)


def test_checkpoint_holds_the_trainable_part_alone(trained):
    keys = set(load(trained.work_dir / 'epoch_2.pth')['state_dict'])

    prefixes = (
        'mask_head.',
        'text_proj.',
        'text_layer_weights',
        'sam.model.prompt_encoder.',
        'sam.model.mask_decoder.',
    )
    assert all(key.startswith(prefixes) for key in keys)
    assert all(any(key.startswith(prefix) for key in keys) for prefix in prefixes)


def test_checkpoint_loads_where_only_torch_is(trained):
    script = (
        'import sys, torch; checkpoint = torch.load(sys.argv[1], weights_only=True); '
        'foreign = {name.split(".")[0] for name in sys.modules} & {"mmengine", "flmm", "transformers", "mmdet"}; '
        'print(sorted(checkpoint), sorted(foreign), len(checkpoint["state_dict"]))'
    )
    path = trained.work_dir / 'epoch_2.pth'
    # -I: neither the working folder nor PYTHONPATH can bring flmm in
    output = subprocess.run(
        [sys.executable, '-I', '-c', script, str(path)], check=True, capture_output=True, text=True
    ).stdout

    parts = ['message_hub', 'meta', 'optimizer', 'param_schedulers', 'random_states', 'state_dict']
    assert output.strip() == f'{parts} [] {len(load(path)["state_dict"])}'


def test_amp_without_gpu(config, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='--amp needs a GPU, and torch sees none; leave it out'):
        run_tool('train', config, '--amp')


def test_amp_replaces_the_plain_optim_wrapper_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    use_amp = runpy.run_path(str(REPOSITORY / 'tools' / 'train.py'))['use_amp']
    config = Config({'optim_wrapper': {'type': 'OptimWrapper', 'clip_grad': {'max_norm': 1.0}}})

    use_amp(config)

    assert config.optim_wrapper.to_dict() == {
        'type': 'AmpOptimWrapper',
        'clip_grad': {'max_norm': 1.0},
        'dtype': 'bfloat16',
    }
    with pytest.raises(ValueError, match="--amp replaces OptimWrapper, but the config has 'MyWrapper'; leave it out"):
        use_amp(Config({'optim_wrapper': {'type': 'MyWrapper'}}))


@pytest.mark.parametrize(
    ('option', 'error', 'message'),
    [
        ('optim_wraper.type=OptimWrapper', ValueError, r"'optim_wraper' \(did you mean 'optim_wrapper'\?\)"),
        ('modle.lmm.dtype=float16', ValueError, r"no 'modle' \(did you mean 'model'\?\)"),
        ('lr=5', ValueError, r"no 'lr' \(did you mean 'optim_wrapper.optimizer.lr'\?\)"),
        ('+model.mask_hed.base_channels=8', TypeError, "unexpected keyword argument 'mask_hed'"),
        (
            '+model.mask_head.base_chanels=8',
            TypeError,
            r"UNetHead\.__init__\(\) got an unexpected keyword argument 'base_chanels'",
        ),
        ('+train_dataloader.batchsize=8', TypeError, "unexpected keyword argument 'batchsize'"),
        ('+train_dataloader.dataset.text_mod=random', TypeError, "unexpected keyword argument 'text_mod'"),
        ('+train_cfg.max_epoch=8', TypeError, "unexpected keyword argument 'max_epoch'"),
        ('+optim_wrapper.optimizer.learning_rate=1', TypeError, "unexpected keyword argument 'learning_rate'"),
    ],
)
def test_misspelt_config_key(config, tmp_path, option, error, message):
    name = f'experiment_name={option.split("=")[0].removeprefix("+")}'
    with pytest.raises(error, match=message):
        run_tool('train', config, '--work-dir', tmp_path, '--cfg-options', option, name)


def test_a_model_without_a_part_to_train_is_refused_before_data_are_read(config, tmp_path):
    path = config.with_name('training_free.py')
    path.write_text(
        "_base_ = './tiny.py'\n"
        "model = dict(heads=[(1, 0)], mask_head=dict(_delete_=True, type='AttentionThreshold'), "
        'sam=dict(use_text=False, use_mask=False))\n'
        "train_dataloader = dict(dataset=dict(data_root='absent'))\n"
    )
    with pytest.raises(ValueError, match=r"training_free\.py' has nothing to train: .* test it with tools/test\.py"):
        run_tool('train', path, '--work-dir', tmp_path, '--cfg-options', 'experiment_name=nothing_to_train')
