import hashlib
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger

from flmm.engine import CheckpointHook
from flmm.engine.newest_checkpoint import newest_checkpoint

STATE = {'state_dict': {'w': torch.arange(3.0)}, 'optimizer': {'x': 1}}


class Saver:
    """Of a runner, what the hook reads; it writes what it is told to, and notes what was there at that moment."""

    def __init__(self, work_dir, resumed_from=None):
        self.work_dir, self.resumed_from = str(work_dir), resumed_from
        self.message_hub = MessageHub.get_instance(f'hub_{id(self)}')
        self.logger = MMLogger.get_current_instance()
        self.epoch, self.iter, self.there = 0, 0, []

    def save_checkpoint(self, out_dir, filename, file_client_args=None, *, backend_args, **settings):
        assert backend_args == {'backend': 'atomic'}
        self.there.append(names(out_dir))
        torch.save(STATE, Path(out_dir, filename))


def names(folder):
    return {path.name for path in Path(folder).glob('*.pth')}


def begin(tmp_path, **settings):
    hook = CheckpointHook(interval=1, greater_keys=['IoU'], **settings)
    runner = Saver(tmp_path)
    hook.before_train(runner)
    return hook, runner


def epoch(hook, runner, number, metrics=None):
    runner.epoch, runner.iter = number - 1, 10 * number
    hook._save_checkpoint(runner)
    runner.epoch = number
    if metrics is not None:
        hook.after_val_epoch(runner, metrics)


def test_an_old_checkpoint_goes_when_the_new_one_is_there(tmp_path):
    hook, runner = begin(tmp_path, max_keep_ckpts=1)
    for number in (1, 2, 3):
        epoch(hook, runner, number)
    assert runner.there == [set(), {'epoch_1.pth'}, {'epoch_2.pth'}]
    assert names(tmp_path) == {'epoch_3.pth'}
    assert (tmp_path / 'last_checkpoint').read_text() == 'epoch_3.pth'


@pytest.mark.parametrize('keys', [['a/IoU'], ['a/IoU', 'b/IoU']])
def test_of_each_metric_the_best_is_kept(tmp_path, keys):
    hook, runner = begin(tmp_path, max_keep_ckpts=1, save_best=keys)
    for number, (first, second) in enumerate([(0.5, 0.1), (0.6, 0.3), (0.4, 0.2)], 1):
        epoch(hook, runner, number, {'a/IoU': first, 'b/IoU': second})
    best = {f'best_{key[0]}_IoU_epoch_2.pth' for key in keys}
    assert names(tmp_path) == {'epoch_3.pth', *best}
    assert all('best_a_IoU_epoch_1.pth' in there for there in runner.there[2 + len(keys) :][: 2 + len(keys)])


def test_what_a_killed_run_was_about_to_remove_is_removed_by_the_next(tmp_path):
    hook, runner = begin(tmp_path, max_keep_ckpts=1)
    epoch(hook, runner, 1)
    epoch(hook, runner, 2)
    (tmp_path / 'epoch_1.pth').write_bytes(b'')  # as if the kill had come before
    (tmp_path / 'epoch_3.pth.0123.unfinished').write_bytes(b'')
    (tmp_path / 'epoch_7.pth').write_bytes(b'')  # of nobody
    resumed = Saver(tmp_path, resumed_from=str(tmp_path / 'epoch_2.pth'))
    resumed.message_hub = runner.message_hub
    CheckpointHook(interval=1, max_keep_ckpts=1).before_train(resumed)
    assert {path.name for path in tmp_path.iterdir()} == {'epoch_2.pth', 'epoch_7.pth', 'last_checkpoint'}


def test_a_run_that_goes_on_from_elsewhere_removes_nothing_here(tmp_path):
    hook, runner = begin(tmp_path, max_keep_ckpts=1)
    epoch(hook, runner, 1)
    epoch(hook, runner, 2)
    (tmp_path / 'epoch_1.pth').write_bytes(b'')
    resumed = Saver(tmp_path, resumed_from='/another/epoch_2.pth')
    resumed.message_hub = runner.message_hub
    CheckpointHook(interval=1, max_keep_ckpts=1).before_train(resumed)
    assert names(tmp_path) == {'epoch_1.pth', 'epoch_2.pth'}


def resume(tmp_path, runner, name):
    """A hook of a run that goes on from a file."""
    resumed = Saver(tmp_path, resumed_from=str(tmp_path / name))
    resumed.message_hub = runner.message_hub
    hook = CheckpointHook(interval=1)
    hook.before_train(resumed)
    return hook, resumed


def test_a_stop_is_noted_until_there_is_a_newer_one(tmp_path):
    hook, runner = begin(tmp_path)
    epoch(hook, runner, 1)
    hook.before_stop(runner, num_iters=15)
    assert (tmp_path / 'last_checkpoint').read_text() == 'interrupted.pth'
    assert names(tmp_path) == {'epoch_1.pth', 'interrupted.pth'}
    hook, runner = resume(tmp_path, runner, 'interrupted.pth')
    assert names(tmp_path) == {'epoch_1.pth', 'interrupted.pth'}  # what a kill would now go on from
    epoch(hook, runner, 2)
    assert names(tmp_path) == {'epoch_1.pth', 'epoch_2.pth'}


def test_an_older_checkpoint_that_is_named_removes_no_newer_one(tmp_path):
    hook, runner = begin(tmp_path)
    epoch(hook, runner, 1)
    hook.before_stop(runner, num_iters=15)
    resume(tmp_path, runner, 'epoch_1.pth')
    assert names(tmp_path) == {'epoch_1.pth', 'interrupted.pth'}


def test_a_new_run_beside_an_earlier_one_does_not_go_on_from_that(tmp_path):
    hook, runner = begin(tmp_path)
    epoch(hook, runner, 1)
    hook.before_stop(runner, num_iters=15)
    hook, runner = begin(tmp_path)
    assert newest_checkpoint(tmp_path, tmp_path) == (
        None, [f"checkpoints in '{tmp_path}' are those of an earlier run; name one to go on from it"]
    )  # fmt: skip
    epoch(hook, runner, 1)
    assert (tmp_path / 'last_checkpoint').read_text() == 'epoch_1.pth'
    assert names(tmp_path) == {'epoch_1.pth', 'interrupted.pth'}


def test_published_files_hold_the_keys_and_are_named_by_their_bytes(tmp_path):
    hook, runner = begin(tmp_path, published_keys=['state_dict'])
    epoch(hook, runner, 1)
    hook.after_train(runner)
    (published,) = tmp_path.glob('epoch_1-*.pth')
    assert published.stem.removeprefix('epoch_1-') == hashlib.sha256(published.read_bytes()).hexdigest()[:8]
    found = torch.load(published, weights_only=True)
    assert found.keys() == {'state_dict'}
    assert torch.equal(found['state_dict']['w'], STATE['state_dict']['w'])


def test_remote_folders_keep_mmengines_backend(monkeypatch):
    hook = CheckpointHook(interval=1, out_dir='s3://bucket')
    monkeypatch.setattr('mmengine.hooks.CheckpointHook.before_train', lambda self, runner: None)
    hook.before_train(Saver('/tmp/run'))
    assert hook.backend_args is None
