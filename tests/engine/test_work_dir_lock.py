import multiprocessing
import os
import platform
import time

import pytest

from flmm.engine.work_dir_lock import LOCK, work_dir_lock


def hold(folder, pipe):
    with work_dir_lock(folder):
        if os.fork() == 0:  # as the worker of a data loader, which inherits the open file and lives on
            time.sleep(5)
            os._exit(0)
        pipe.send('held')
        time.sleep(20)


@pytest.fixture
def holder(tmp_path):
    context = multiprocessing.get_context('fork')
    receiving, sending = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path, sending))
    process.start()
    assert receiving.recv() == 'held'
    yield process
    process.kill()
    process.join()


def enter(folder):
    with work_dir_lock(folder):
        pass


def test_a_second_training_is_refused_and_the_first_named(tmp_path, holder):
    named = rf'process {holder.pid} on {platform.node()}, since 20\d\d-.*\+00:00: '
    with pytest.raises(ValueError, match=f'another training writes to .*: {named}.*; wait for its end, stop it, or'):
        enter(tmp_path)


def test_the_lock_ends_with_the_main_process_however_that_ends(tmp_path, holder):
    holder.kill()
    holder.join()
    enter(tmp_path)
    assert f'process {os.getpid()} on' in (tmp_path / LOCK).read_text()


def test_a_file_that_is_left_over_locks_nothing(tmp_path):
    (tmp_path / LOCK).write_text('process 1 on another machine')
    enter(tmp_path)
    enter(tmp_path)
    assert (tmp_path / LOCK).read_text().count('\n') == 1
