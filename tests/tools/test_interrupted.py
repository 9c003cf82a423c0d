"""Runs that end before their end, by a signal or a kill: what they leave, and that they go on exactly."""

import json
import multiprocessing
import os
import shutil
import signal

import pytest
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from processes import exit_codes, launch, start_function
from same_run import assert_same, assert_same_run, load
from tiny_refcoco import run_tool, train

from flmm import atomic_write
from flmm.registry import HOOKS

BEST = [
    '+default_hooks.checkpoint.save_best=auto',
    'default_hooks.checkpoint.max_keep_ckpts=1',
    'train_cfg.max_epochs=4',
]
RESUME = ['--resume']


@HOOKS.register_module(force=True)
class Signalled(Hook):
    """Sends its own process a signal in an iteration of training, or of the n-th validation."""

    def __init__(self, number, train_iter=None, validation=None, rank=0):
        self.number, self.train_iter, self.validation, self.rank = number, train_iter, validation, rank

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.train_iter and get_rank() == self.rank:
            os.kill(os.getpid(), self.number)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.validation:
            os.kill(os.getpid(), self.number)


@pytest.fixture(scope='module')
def straight(config, tmp_path_factory):
    """A run of four epochs of two iterations, of which the last and the best checkpoint are kept."""
    work_dir = tmp_path_factory.mktemp('straight') / 'run'
    train(config, work_dir, *BEST)
    return work_dir


def files(work_dir):
    return sorted(path.name for path in work_dir.glob('*') if path.is_file())


def assert_same_end(work_dir, straight):
    """The same last and best checkpoint, the same record of validations, and nothing else."""
    assert files(work_dir) == files(straight)
    assert_same_run(load(work_dir / 'epoch_4.pth'), load(straight / 'epoch_4.pth'))
    assert json.loads((work_dir / 'validated.json').read_text()) == [2, 4, 6, 8]
    (best,) = work_dir.glob('best_*')
    assert load(best)['meta']['iter'] == load(straight / best.name)['meta']['iter']


@pytest.mark.parametrize(
    ('number', 'code', 'when', 'iteration'),
    [
        (signal.SIGTERM, 143, {'train_iter': 3}, 3),
        (signal.SIGINT, 130, {'train_iter': 4}, 4),
        (signal.SIGTERM, 143, {'validation': 6}, 6),
    ],
    ids=['within an epoch', 'at its end', 'within validation'],
)
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_exactly(
    config, tmp_path, straight, number, code, when, iteration
):
    work_dir, own_config = tmp_path / 'run', tmp_path / config.name
    hook = {'type': 'Signalled', 'number': int(number), **when}
    own_config.write_text(f'_base_ = {str(config)!r}\ncustom_hooks = [{hook}]\n')
    with pytest.raises(SystemExit) as stopped:
        train(own_config, work_dir, *BEST)
    assert stopped.value.code == code
    assert multiprocessing.active_children() == []
    assert (work_dir / 'last_checkpoint').read_text() == 'interrupted.pth'
    meta = load(work_dir / 'interrupted.pth')['meta']
    assert meta['iter'] == iteration
    assert meta['flmm_version']

    train(config, work_dir, *BEST, resume=RESUME)
    assert_same_end(work_dir, straight)


def test_a_run_by_iterations_stops_and_goes_on_exactly(config, tmp_path):
    own_config = tmp_path / config.name
    own_config.write_text(
        f'_base_ = {str(config)!r}\n'
        'train_cfg = dict(_delete_=True, by_epoch=False, max_iters=4, val_interval=3)\n'
        "param_scheduler = dict(_delete_=True, type='WarmupCosineLR', by_epoch=False)\n"
        'default_hooks = dict(checkpoint=dict(by_epoch=False, interval=4))\nlog_processor = dict(by_epoch=False)\n'
    )
    train(own_config, tmp_path / 'straight')
    stopped = tmp_path / 'stopped.py'
    hook = {'type': 'Signalled', 'number': int(signal.SIGTERM), 'validation': 3}
    stopped.write_text(f'_base_ = {str(own_config)!r}\ncustom_hooks = [{hook}]\n')
    with pytest.raises(SystemExit):
        train(stopped, tmp_path / 'run')
    assert load(tmp_path / 'run' / 'interrupted.pth')['meta']['iter'] == 3

    train(own_config, tmp_path / 'run', resume=RESUME)
    assert_same_run(load(tmp_path / 'run' / 'iter_4.pth'), load(tmp_path / 'straight' / 'iter_4.pth'))
    for work_dir in (tmp_path / 'straight', tmp_path / 'run'):
        assert json.loads((work_dir / 'validated.json').read_text()) == [3, 4]
        assert not (work_dir / 'interrupted.pth').exists()


def test_two_stops_in_one_validation_of_averages(config, tmp_path):
    """While the averages stand in for the weights, and before the first pass of the resumed run has begun."""
    averaged, stopped = tmp_path / 'averaged.py', tmp_path / 'stopped.py'
    hook = {'type': 'EMAHook', 'momentum': 0.4}
    averaged.write_text(f'_base_ = {str(config)!r}\ncustom_hooks = [{hook}]\n')
    signals = {'type': 'Signalled', 'number': int(signal.SIGTERM), 'validation': 2}
    stopped.write_text(f'_base_ = {str(config)!r}\ncustom_hooks = [{hook}, {signals}]\n')
    train(averaged, tmp_path / 'straight')
    for resume in ([], RESUME):
        with pytest.raises(SystemExit):
            train(stopped, tmp_path / 'run', resume=resume)
        assert load(tmp_path / 'run' / 'interrupted.pth')['meta']['iter'] == 2
    train(averaged, tmp_path / 'run', resume=RESUME)
    found, expected = (load(tmp_path / name / 'epoch_2.pth') for name in ('run', 'straight'))
    assert_same_run(found, expected)
    assert_same(found['ema_state_dict'], expected['ema_state_dict'], 'ema_state_dict')


def stop_one_rank(config, work_dir, name):
    options = ['--launcher', 'pytorch', '--cfg-options', f'experiment_name={name}']
    run_tool('train', config, '--work-dir', work_dir, *options)


def test_all_processes_stop_where_one_is_asked_to(config, tmp_path):
    own_config = tmp_path / config.name
    hook = {'type': 'Signalled', 'number': int(signal.SIGTERM), 'train_iter': 1, 'rank': 1}
    own_config.write_text(f'_base_ = {str(config)!r}\ncustom_hooks = [{hook}]\ntrain_dataloader = dict(batch_size=1)\n')
    started = start_function(2, tmp_path, stop_one_rank, own_config, tmp_path / 'run', 'stopped')
    assert exit_codes(started) == [143, 143]
    checkpoint = load(tmp_path / 'run' / 'interrupted.pth')
    assert (checkpoint['meta']['iter'], len(checkpoint['random_states'])) == (1, 2)


def kill_when(*, opened, writes=0, syncs=0, replaced=False):
    """Let this process kill itself as it writes a file whose name begins so: at a write, a sync, after the rename."""
    real_open, real_replace, real_sync = atomic_write.Path.open, atomic_write.Path.replace, os.fsync
    state = {'path': None}

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def open_(path, *args, **kwargs):
        file = real_open(path, *args, **kwargs)
        if path.name.startswith(opened) and path.name.endswith(atomic_write.UNFINISHED):
            state['path'] = path
            if writes:
                file.write(b'half of a file')
                file.flush()
                die()
        return file

    def sync(descriptor):
        real_sync(descriptor)
        if syncs and state['path'] is not None:
            die()

    def replace(path, target):
        real_replace(path, target)
        if replaced and path == state['path']:
            die()

    atomic_write.Path.open, atomic_write.Path.replace, os.fsync = open_, replace, sync


def train_and_die(config, work_dir, kill):
    kill_when(**kill)
    train(config, work_dir, *BEST, resume=RESUME)


@pytest.mark.parametrize(
    'kill',
    [
        {'opened': 'epoch_3.pth', 'writes': 1},
        pytest.param({'opened': 'epoch_3.pth', 'syncs': 1}, marks=pytest.mark.slow),
        {'opened': 'epoch_3.pth', 'replaced': True},
        {'opened': 'last_checkpoint', 'writes': 1},
        {'opened': 'best_', 'replaced': True},
        pytest.param({'opened': 'validated', 'writes': 1}, marks=pytest.mark.slow),
    ],
    ids=lambda kill: '-'.join(map(str, kill.values())),
)
def test_wherever_a_writer_is_killed_the_last_good_one_is_there(config, tmp_path, straight, kill):
    work_dir = tmp_path / 'run'
    process = multiprocessing.get_context('fork').Process(target=train_and_die, args=(config, work_dir, kill))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    for path in work_dir.glob('*.pth'):
        assert load(path)['state_dict']

    train(config, work_dir, *BEST, resume=RESUME)
    assert_same_end(work_dir, straight)


def test_a_damaged_checkpoint_is_passed_over(config, tmp_path, straight):
    work_dir = tmp_path / 'run'
    train(config, work_dir, 'train_cfg.max_epochs=2', 'default_hooks.checkpoint.max_keep_ckpts=2')
    content = (work_dir / 'epoch_2.pth').read_bytes()
    (work_dir / 'epoch_2.pth').write_bytes(content[:-1000])
    train(config, work_dir, 'train_cfg.max_epochs=2', resume=RESUME)
    log = ''.join(path.read_text() for path in sorted(work_dir.glob('*/*.log')))
    assert f"passed over: checkpoint '{work_dir / 'epoch_2.pth'}' cannot be read as plain data" in log
    assert f'Load checkpoint from {work_dir / "epoch_1.pth"}' in log
    assert load(work_dir / 'epoch_2.pth')['meta']['iter'] == 4


def test_a_copied_run_goes_on_with_its_own_files(config, tmp_path):
    """The last checkpoint of the original holds the path of its best one, which is removed when there is a better."""
    original, copy = tmp_path / 'original', tmp_path / 'copy'
    train(config, original, *BEST, 'train_cfg.max_epochs=1')
    shutil.copytree(original, copy)
    before = files(original)
    train(config, copy, *BEST, resume=RESUME)
    assert files(original) == before
    assert len(list(copy.glob('best_*'))) == 1
    best = load(copy / 'epoch_4.pth')['message_hub']['runtime_info']['best_ckpt']
    assert best.startswith(f'{copy}/best_')


def test_two_processes_without_workers_go_on_with_their_own_random_numbers(config, tmp_path):
    options = ['train_dataloader.batch_size=1', 'experiment_name=straight']
    launch(2, tmp_path, 'train', config, '--work-dir', tmp_path / 'straight', '--cfg-options', *options)
    first = load(tmp_path / 'straight' / 'epoch_1.pth')['random_states']
    assert len(first) == 2
    assert first[0] != first[1]

    resume = ['--resume', tmp_path / 'straight' / 'epoch_1.pth']
    options[-1] = 'experiment_name=resumed'
    launch(2, tmp_path, 'train', config, '--work-dir', tmp_path / 'resumed', *resume, '--cfg-options', *options)
    assert_same_run(load(tmp_path / 'resumed' / 'epoch_2.pth'), load(tmp_path / 'straight' / 'epoch_2.pth'))

    with pytest.raises(ValueError, match='comes from a run of 2 processes, now there are 1: start as many, or start'):
        train(config, tmp_path / 'one', resume=resume)
