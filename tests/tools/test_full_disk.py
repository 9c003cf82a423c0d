"""A disk that is full, at any byte: a clear error, no file that is cut off, and what was there before can be used."""

import multiprocessing
import os
import resource
import shutil
import subprocess

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from same_run import assert_same_run, load
from tiny_refcoco import run_tool, train, write_cached_config

from flmm.atomic_write import UNFINISHED, write_text
from flmm.registry import DATASETS, HOOKS
from flmm.scoring import write_metrics


def limited(limit, function, *arguments, **settings):
    """Call a function in a fork in which no file becomes longer than ``limit`` bytes; return its error."""
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)

    def run():
        if limit is not None:
            limit_files(limit)
        try:
            function(*arguments, **settings)
        except OSError as error:
            sender.send(error)
        else:
            sender.send(None)

    process = context.Process(target=run)
    process.start()
    sender.close()
    error = receiver.recv()
    process.join()
    return error


def limit_files(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def unfinished(folder):
    return list(folder.rglob(f'*{UNFINISHED}'))


@pytest.mark.parametrize('limit', [0, 1, 50, 150])
def test_metrics_of_before_stay(tmp_path, limit):
    path = tmp_path / 'metrics.json'
    before = {'refcoco_val/refined/mIoU': 50.0}
    write_metrics(before, path)
    content = path.read_bytes()
    error = limited(limit, write_metrics, {f'set_{number}/refined/mIoU': 1.0 for number in range(9)}, path)
    assert f"nothing was written, what was there before is untouched: '{path}'" in str(error)
    assert path.read_bytes() == content
    assert unfinished(tmp_path) == []


@pytest.mark.slow
def test_a_shard_that_does_not_fit_is_made_when_it_does(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(config.parent / 'data', tmp_path / 'data')
    copied = tmp_path / 'tiny.py'
    copied.write_text(config.read_text().replace(str(config.parent / 'data'), str(tmp_path / 'data')))
    cached, store = write_cached_config(copied, draws=1), tmp_path / 'features' / 'train'
    make = ('cache_features', cached, '--num-workers', '0')
    assert limited(None, run_tool, *make) is None
    expected = (store / 'shard_00000.safetensors').read_bytes()
    for path in store.glob('shard_00000*'):
        path.unlink()

    for limit in (len(expected) // 3, len(expected) - 1):
        error = limited(limit, run_tool, *make)
        assert f"untouched: '{store / 'shard_00000.safetensors'}'" in str(error)
        assert [path.name for path in store.iterdir()] == ['store.json']
    assert limited(None, run_tool, *make) is None
    assert (store / 'shard_00000.safetensors').read_bytes() == expected
    init_default_scope('flmm')
    assert len(DATASETS.build(Config.fromfile(cached).train_dataloader.dataset)) == 4


@HOOKS.register_module()
class FullDisk(Hook):
    """From the second checkpoint on, no file becomes longer than a part of the first one."""

    def __init__(self, part):
        self.part = part

    def before_save_checkpoint(self, runner, checkpoint):
        first = os.path.join(runner.work_dir, 'epoch_1.pth')
        if os.path.exists(first):
            limit_files(int(self.part * os.path.getsize(first)))


@pytest.mark.parametrize('part', [0.2, pytest.param(0.99, marks=pytest.mark.slow)])
def test_a_run_goes_on_from_the_checkpoint_before(trained, tmp_path, part):
    path = tmp_path / 'full.py'
    path.write_text(f"_base_ = {str(trained.config)!r}\ncustom_hooks = [dict(type='FullDisk', part={part})]\n")
    error = limited(None, train, path, tmp_path / 'run')
    assert f"nothing was written, what was there before is untouched: '{tmp_path / 'run' / 'epoch_2.pth'}'" in str(
        error
    )
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth')) == ['epoch_1.pth']
    assert (tmp_path / 'run' / 'last_checkpoint').read_text() == 'epoch_1.pth'
    load(tmp_path / 'run' / 'epoch_1.pth')
    train(trained.config, tmp_path / 'run', resume=['--resume'])
    assert_same_run(load(tmp_path / 'run' / 'epoch_2.pth'), load(trained.work_dir / 'epoch_2.pth'))
    assert unfinished(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    try:
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip('no file system can be mounted')
    yield folder
    subprocess.run(['umount', folder], check=True)


@pytest.mark.parametrize('taken', [0, 500_000, 900_000, 1_040_000])
def test_a_real_disk_that_is_full(small_disk, taken):
    path = small_disk / 'file.txt'
    write_text(path, 'before')
    (small_disk / 'other').write_bytes(bytes(taken))
    with pytest.raises(OSError, match=r"No space left on device; nothing was written, what was .*: '.*file\.txt'"):
        write_text(path, 'x' * 1_100_000)
    assert path.read_text() == 'before'
    assert sorted(child.name for child in small_disk.iterdir()) == ['file.txt', 'other']
