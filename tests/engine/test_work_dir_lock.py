import os
import platform
import signal
import subprocess
import sys

import pytest

from flmm.engine.work_dir_lock import LOCK, work_dir_lock

HOLDER = """
import os, sys, time
from flmm.engine.work_dir_lock import work_dir_lock
with work_dir_lock(sys.argv[1]):
    if os.fork() == 0:  # as the worker of a data loader
        time.sleep(100)
    print('held', flush=True)
    time.sleep(100)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-c', HOLDER, tmp_path], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == 'held\n'
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def enter(folder):
    with work_dir_lock(folder):
        pass


def test_a_second_training_is_refused_and_the_first_named(tmp_path, holder):
    named = rf'process {holder.pid} on {platform.node()}, since 20\d\d-.*\+00:00: -c '
    with pytest.raises(ValueError, match=f'another training writes to .*: {named}.*; wait for its end, stop it, or'):
        enter(tmp_path)


def test_the_lock_ends_with_the_main_process_however_that_ends(tmp_path, holder):
    """Its worker, which has inherited the open file, lives on."""
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    enter(tmp_path)
    assert f'process {os.getpid()} on' in (tmp_path / LOCK).read_text()


def test_a_file_that_is_left_over_locks_nothing(tmp_path):
    (tmp_path / LOCK).write_text('process 1 on another machine')
    enter(tmp_path)
    enter(tmp_path)
    assert (tmp_path / LOCK).read_text().count('\n') == 1
