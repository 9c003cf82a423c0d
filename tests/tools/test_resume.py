"""What goes on after --resume: the same run, by the settings of the config, and nothing that the file says."""

import shutil

import pytest
import torch
from same_run import assert_same_run, load
from tiny_refcoco import run_tool, train

# Six images in batches of one: four training images are four iterations an epoch, of which the second is in the middle.
WITHIN = [
    'train_dataloader.batch_size=1',
    '+default_hooks.checkpoint.by_epoch=False',
    'default_hooks.checkpoint.interval=1',
]
WITHIN += ['default_hooks.checkpoint.max_keep_ckpts=-1']


def rates(path):
    return load(path)['message_hub']['log_scalars']['train/lr']['log_history'].tolist()


@pytest.mark.parametrize(('workers', 'iteration'), [(0, 1), (0, 4), (2, 6)])
def test_a_checkpoint_within_an_epoch_resumes_exactly(config, tmp_path, straight_runs, workers, iteration):
    straight = straight_runs(workers)
    options = [*WITHIN, f'train_dataloader.num_workers={workers}']
    resume = ['--resume', straight / f'iter_{iteration}.pth']
    train(config, tmp_path / 'resumed', *options, resume=resume)

    final = load(tmp_path / 'resumed' / 'iter_8.pth')
    assert_same_run(final, load(straight / 'iter_8.pth'))
    assert (final['meta']['epoch'], final['meta']['iter']) == (1, 8)
    assert not (tmp_path / 'resumed' / f'iter_{iteration}.pth').exists()


@pytest.fixture(scope='module')
def straight_runs(config, tmp_path_factory):
    made = {}

    def straight(workers):
        if workers not in made:
            made[workers] = tmp_path_factory.mktemp('straight') / f'workers_{workers}'
            train(config, made[workers], *WITHIN, f'train_dataloader.num_workers={workers}')
        return made[workers]

    return straight


@pytest.mark.parametrize('iteration', [2, 5])
def test_a_run_by_iterations_resumes_exactly(config, tmp_path, runs_by_iterations, iteration):
    by_iteration, straight = runs_by_iterations
    train(by_iteration, tmp_path / 'resumed', resume=['--resume', straight / f'iter_{iteration}.pth'])
    assert_same_run(load(tmp_path / 'resumed' / 'iter_6.pth'), load(straight / 'iter_6.pth'))


@pytest.fixture(scope='module')
def runs_by_iterations(config, tmp_path_factory):
    path = config.with_name('by_iterations.py')
    path.write_text(
        "_base_ = './tiny.py'\n"
        'train_cfg = dict(_delete_=True, by_epoch=False, max_iters=6, val_interval=3)\n'
        "param_scheduler = dict(_delete_=True, type='WarmupCosineLR', warmup=0.5, by_epoch=False)\n"
        'default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1, max_keep_ckpts=-1))\n'
        'log_processor = dict(by_epoch=False)\n'
    )
    straight = tmp_path_factory.mktemp('by_iterations') / 'straight'
    train(path, straight)
    return path, straight


def test_the_schedule_derives_from_the_iterations(runs_by_iterations):
    """Two of three passes over the data: three iterations warm up, and the fourth has the base rate."""
    _, straight = runs_by_iterations
    used = rates(straight / 'iter_6.pth')
    assert used[3] == pytest.approx(2e-3)
    assert used[:3] == pytest.approx([2e-3 * (1e-5 + (1 - 1e-5) * t / 3) for t in range(3)])
    assert used[4:] == pytest.approx([2e-3 * 0.75, 2e-3 * 0.25])


SCHEDULE = "param_scheduler = dict(_delete_=True, type='WarmupCosineLR', warmup=0.25, start_factor=0.1, by_epoch=False)"


@pytest.fixture
def own_schedule(config):
    path = config.with_name('own_schedule.py')
    path.write_text(f"_base_ = './tiny.py'\n{SCHEDULE}\n")
    return path


def test_more_epochs_stretch_the_schedule(own_schedule, tmp_path, caplog):
    """After the resume, the rates are those of a run that had the new length from the start."""
    work_dir = tmp_path / 'longer'
    train(own_schedule, work_dir)  # two epochs of two iterations
    train(own_schedule, tmp_path / 'straight', 'train_cfg.max_epochs=4')
    train(own_schedule, work_dir, 'train_cfg.max_epochs=4', resume=['--resume'])

    assert rates(work_dir / 'epoch_4.pth')[4:] == rates(tmp_path / 'straight' / 'epoch_4.pth')[4:]
    assert 'WarmupCosineLR: end was 4, is 8' in log(work_dir)


def log(work_dir):
    return ''.join(path.read_text() for path in sorted(work_dir.glob('*/*.log')))


@pytest.mark.parametrize(
    ('option', 'key', 'value', 'message'),
    [
        ('optim_wrapper.optimizer.lr=1e-2', 'initial_lr', 1e-2, 'initial_lr was 0.002, is 0.01'),
        ('optim_wrapper.optimizer.weight_decay=0.5', 'weight_decay', 0.5, 'weight_decay was 0.01, is 0.5'),
        ('optim_wrapper.optimizer.betas=(0.8,0.9)', 'betas', (0.8, 0.9), r'betas was (0.9, 0.999), is (0.8, 0.9)'),
    ],
)
def test_changed_settings_of_the_optimizer_hold(own_schedule, tmp_path, option, key, value, message):
    train(own_schedule, tmp_path / 'run', 'train_cfg.max_epochs=1')
    train(own_schedule, tmp_path / 'run', option, resume=['--resume'])

    optimizer = load(tmp_path / 'run' / 'epoch_2.pth')['optimizer']
    assert optimizer['param_groups'][0][key] == value
    assert all(state['step'] == 4 for state in optimizer['state'].values())  # moments went on
    assert message in log(tmp_path / 'run')
    if key == 'initial_lr':  # of four iterations one warms up
        assert rates(tmp_path / 'run' / 'epoch_2.pth')[2:] == pytest.approx([1e-2 * 0.75, 1e-2 * 0.25])


def test_mmengines_schedules_are_played_through(config, tmp_path):
    """Recursive ones too: a resumed run of twice the rate has twice the rates of the uninterrupted one."""
    train(config, tmp_path / 'run', 'train_cfg.max_epochs=1')
    train(config, tmp_path / 'run', 'optim_wrapper.optimizer.lr=4e-3', resume=['--resume'])
    train(config, tmp_path / 'straight')
    expected = [2 * rate for rate in rates(tmp_path / 'straight' / 'epoch_2.pth')[2:]]
    assert rates(tmp_path / 'run' / 'epoch_2.pth')[2:] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('train_dataloader.batch_size=1', 'from a run with 2 iterations an epoch, now there are 4: data, batch size'),
        ('randomness.seed=5', 'from a run with seed 0, this one has 5, .*set randomness.seed=0'),
    ],
)
def test_what_cannot_go_on_is_refused(trained, tmp_path, option, message):
    with pytest.raises(ValueError, match=message):
        train(trained.config, tmp_path / 'run', option, resume=['--resume', trained.work_dir / 'epoch_1.pth'])


def test_a_schedule_that_follows_the_validation_is_refused(config, tmp_path):
    path = config.with_name('plateau.py')
    path.write_text(
        "_base_ = './tiny.py'\nparam_scheduler = [dict(type='ReduceOnPlateauLR', monitor='x', by_epoch=True)]\n"
        'val_dataloader = val_cfg = val_evaluator = None\n'
    )
    train(path, tmp_path / 'run', 'train_cfg.max_epochs=1')
    with pytest.raises(ValueError, match=r'ReduceOnPlateauLR follows the validation, .* start a new one'):
        train(path, tmp_path / 'run', resume=['--resume'])


SGD = "optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=1e-3, momentum=0.9))"


def test_the_state_of_another_optimizer_is_refused(trained, tmp_path):
    """AdamW's moments are no momentum, and the other way round."""
    sgd = tmp_path / 'sgd.py'
    sgd.write_text(f'_base_ = {str(trained.config)!r}\n{SGD}\n')
    with pytest.raises(
        ValueError, match=r"another optimizer: it has \[.*'betas'.*\], this one has .*'momentum'.*load_from"
    ):
        train(sgd, tmp_path / 'run', resume=['--resume', trained.work_dir / 'epoch_1.pth'])

    train(sgd, tmp_path / 'sgd', 'train_cfg.max_epochs=1')
    with pytest.raises(ValueError, match=r"another optimizer: it has \[.*'momentum'.*\], this one has .*'betas'"):
        train(trained.config, tmp_path / 'run', resume=['--resume', tmp_path / 'sgd' / 'epoch_1.pth'])


def test_other_groups_of_parameters_are_refused(trained, tmp_path):
    with pytest.raises(
        ValueError, match=r'has the state of \d+ groups of parameters, this optimizer has 1: restore param'
    ):
        train(
            trained.config, tmp_path / 'run', 'optim_wrapper.paramwise_cfg=None',
            resume=['--resume', trained.work_dir / 'epoch_1.pth'],
        )  # fmt: skip


def test_averages_are_not_taken_for_the_weights_of_a_run(trained, tmp_path):
    averaged = tmp_path / 'averaged.py'
    averaged.write_text(f"_base_ = {str(trained.config)!r}\ncustom_hooks = [dict(type='EMAHook', momentum=0.4)]\n")
    train(averaged, tmp_path / 'ema', 'train_cfg.max_epochs=1')
    with pytest.raises(ValueError, match=r'epoch_1\.pth comes from a run with EMAHook, .* averages; add EMAHook again'):
        train(trained.config, tmp_path / 'run', resume=['--resume', tmp_path / 'ema' / 'epoch_1.pth'])


@pytest.mark.parametrize(
    'schedule',
    [
        "dict(type='OneCycleLR', eta_max=1e-2, total_steps=4, by_epoch=False)",
        "dict(type='LinearMomentum', start_factor=0.1, begin=0, end=4, by_epoch=False)",
        "dict(type='CosineAnnealingParamScheduler', param_name='weight_decay', eta_min=0.0, T_max=4, by_epoch=False)",
    ],
)
def test_other_schedules_of_mmengine_resume_exactly(config, tmp_path, schedule):
    """OneCycleLR's state holds a function, which no checkpoint can."""
    path = tmp_path / 'scheduled.py'
    path.write_text(f'_base_ = {str(config)!r}\nparam_scheduler = [{schedule}]\n')
    train(path, tmp_path / 'straight')
    train(path, tmp_path / 'resumed', resume=['--resume', tmp_path / 'straight' / 'epoch_1.pth'])
    assert_same_run(load(tmp_path / 'resumed' / 'epoch_2.pth'), load(tmp_path / 'straight' / 'epoch_2.pth'))
    assert 'resumed with another setting' not in log(tmp_path / 'resumed')


def test_workers_that_live_on_are_said(trained, tmp_path):
    options = ['train_dataloader.num_workers=1', '+train_dataloader.persistent_workers=True']
    train(trained.config, tmp_path / 'run', *options, resume=['--resume', trained.work_dir / 'epoch_1.pth'])
    assert 'the resumed run draws other numbers. With train_dataloader.persistent_workers=False' in log(
        tmp_path / 'run'
    )


@pytest.mark.parametrize('max_epochs', [1, 2])
def test_a_run_that_is_done_says_so(trained, tmp_path, max_epochs):
    given = ['--resume', trained.work_dir / 'epoch_2.pth']
    train(trained.config, tmp_path / 'run', f'train_cfg.max_epochs={max_epochs}', resume=given)
    assert f'nothing is left to train: {given[1]} has done 4 of {2 * max_epochs} iterations' in log(tmp_path / 'run')
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_a_copied_run_resumes_from_its_own_checkpoint(trained, tmp_path):
    """The file ``last_checkpoint`` holds the path of the original."""
    copied = tmp_path / 'copied'
    copied.mkdir()
    for name in ('epoch_2.pth', 'last_checkpoint'):
        shutil.copy(trained.work_dir / name, copied)
    train(trained.config, copied, resume=['--resume'])
    assert f'Load checkpoint from {copied / "epoch_2.pth"}' in log(copied)


def test_weights_alone_are_no_run(trained, tmp_path):
    torch.save({'state_dict': load(trained.work_dir / 'epoch_1.pth')['state_dict']}, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=r"lacks \['meta', 'message_hub', .*load_from"):
        train(trained.config, tmp_path / 'run', resume=['--resume', tmp_path / 'weights.pth'])


def test_resume_without_a_checkpoint_starts_from_the_weights_to_load(trained, tmp_path, capsys):
    weights = trained.work_dir / 'epoch_2.pth'
    options = [f'load_from={weights}', 'optim_wrapper.optimizer.lr=0.0', 'train_cfg.max_epochs=1']
    train(trained.config, tmp_path / 'run', *options, resume=['--resume'])

    assert (
        f'nothing to resume in {tmp_path / "run"}: the run starts from the weights in {weights}'
        in capsys.readouterr().out
    )
    found, expected = load(tmp_path / 'run' / 'epoch_1.pth'), load(weights)['state_dict']
    assert all(torch.equal(value, expected[key]) for key, value in found['state_dict'].items())
    assert found['meta']['epoch'] == 1


def test_a_run_in_the_work_dir_wins_over_the_weights_to_load(trained, tmp_path):
    work_dir = tmp_path / 'run'
    train(trained.config, work_dir, 'train_cfg.max_epochs=1')
    train(trained.config, work_dir, f'load_from={trained.work_dir / "epoch_2.pth"}', resume=['--resume'])
    assert_same_run(load(work_dir / 'epoch_2.pth'), load(trained.work_dir / 'epoch_2.pth'))


@pytest.mark.parametrize('explicit', [True, False])
def test_code_in_a_checkpoint_does_not_run(trained, tmp_path, explicit):
    """mmengine would execute meta['config'], although the file is plain data."""
    marker, work_dir = tmp_path / 'marker', tmp_path / 'run'
    work_dir.mkdir()
    checkpoint = load(trained.work_dir / 'epoch_1.pth')
    checkpoint['meta']['config'] = f'import pathlib\npathlib.Path({str(marker)!r}).touch()\n'
    path = work_dir / 'epoch_1.pth'
    torch.save(checkpoint, path)
    (work_dir / 'last_checkpoint').write_text(str(path))

    train(trained.config, work_dir, resume=['--resume', path] if explicit else ['--resume'])

    assert (work_dir / 'epoch_2.pth').exists()
    assert not marker.exists()


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), 'w'))


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_a_pickle_with_code_is_refused(trained, tmp_path, tool):
    torch.save({'state_dict': {}, 'meta': Payload(tmp_path / 'marker')}, tmp_path / 'evil.pth')
    given = [tmp_path / 'evil.pth'] if tool == 'test' else ['--resume', tmp_path / 'evil.pth']
    with pytest.raises(ValueError, match=r"evil\.pth' cannot be read as plain data"):
        run_tool(tool, trained.config, *given, '--work-dir', tmp_path / 'run')
    assert not (tmp_path / 'marker').exists()


def test_a_damaged_or_missing_checkpoint_is_named(trained, tmp_path):
    shutil.copy(trained.work_dir / 'epoch_1.pth', tmp_path / 'cut.pth')
    with (tmp_path / 'cut.pth').open('r+b') as file:
        file.truncate(5000)
    for name, message in (('cut.pth', 'cannot be read as plain data'), ('absent.pth', 'does not exist')):
        with pytest.raises(ValueError, match=rf"checkpoint '.*{name}' {message}"):
            train(trained.config, tmp_path / 'run', resume=['--resume', tmp_path / name])


def test_masks_of_videos_do_not_stop_a_training_that_goes_on(config, tmp_path):
    """They are those of its own validations. A run that begins would mix them with its own, and is refused."""
    masks = tmp_path / 'masks' / 'val' / 'Annotations'
    metrics = ['val_evaluator.type=DumpVideoMasks', f'+val_evaluator.out_dir={masks.parents[1]}']
    options = [*metrics, '+train_cfg.val_begin=9']
    train(config, tmp_path / 'run', *options, 'train_cfg.max_epochs=1')
    (masks / 'dog').mkdir(parents=True)
    train(config, tmp_path / 'run', *options, 'train_cfg.max_epochs=2', resume=['--resume'])
    with pytest.raises(ValueError, match=r"out_dir is '.*masks', and '.*Annotations' has files already"):
        train(config, tmp_path / 'other', *options, resume=['--resume'])  # which finds nothing to go on from
