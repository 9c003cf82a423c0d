import errno
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from flmm.atomic_write import UNFINISHED, open_atomic, remove_unfinished, write_json, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_takes_the_place_of_what_was_there(tmp_path):
    path = tmp_path / 'file.json'
    path.write_text('before')
    with open_atomic(path) as file:
        file.write(b'af')
        file.flush()
        assert path.read_text() == 'before'
        (unfinished,) = tmp_path.glob(f'file.json.*{UNFINISHED}')
        assert unfinished.read_bytes() == b'af'
        file.write(b'ter')
    assert path.read_text() == 'after'
    assert names(tmp_path) == ['file.json']


def test_modes_are_those_of_ordinary_files(tmp_path):
    write_text(tmp_path / 'ours', 'x')
    (tmp_path / 'ordinary').write_text('x')
    assert stat.S_IMODE(os.stat(tmp_path / 'ours').st_mode) == stat.S_IMODE(os.stat(tmp_path / 'ordinary').st_mode)


@pytest.mark.parametrize('error', [RuntimeError('x'), KeyboardInterrupt(), OSError(errno.ENOSPC, 'No space left')])
def test_an_interrupted_writer_leaves_what_was_there(tmp_path, error):
    path = tmp_path / 'file'
    path.write_text('before')

    def write():
        with open_atomic(path) as file:
            file.write(b'half')
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == 'before'
    assert names(tmp_path) == ['file']


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    """As a disk says it: only when what was written is flushed."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', full)
    write = r"No space left on device; nothing was written, what was there before is untouched: '.*file'"
    with pytest.raises(OSError, match=write) as raised:
        write_text(tmp_path / 'file', 'x')
    assert raised.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing was written.*'.*nowhere/file'"):
        write_text(tmp_path / 'nowhere' / 'file', 'x')


def test_links_stay_links(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    target = tmp_path / 'elsewhere' / 'target'
    target.write_text('before')
    link = tmp_path / 'link'
    link.symlink_to(target)
    write_text(link, 'after')
    assert link.is_symlink()
    assert target.read_text() == 'after'


def test_devices_and_fifos_are_written_to(tmp_path):
    write_text(os.devnull, 'x')
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    write_text(fifo, 'x')
    assert os.read(reader, 10) == b'x'
    os.close(reader)
    assert names(tmp_path) == ['fifo']


def test_texts_and_json(tmp_path):
    write_text(tmp_path / 'text', 'ä\r\n')
    assert (tmp_path / 'text').read_bytes() == b'\xc3\xa4\r\n'
    write_json(tmp_path / 'json', {'a': [1]}, indent=None)
    assert (tmp_path / 'json').read_bytes() == b'{"a": [1]}\n'
    with pytest.raises(ValueError, match='Out of range float values'):
        write_json(tmp_path / 'json', {'a': float('nan')})
    assert (tmp_path / 'json').read_bytes() == b'{"a": [1]}\n'


WRITER = """
import sys
from flmm.atomic_write import write_text
for number in range(10**9):
    write_text(sys.argv[1], f'{number % 10}' * 1_000_000)
"""


def test_killed_writers_leave_whole_files_and_rests_that_are_removed(tmp_path):
    path = tmp_path / 'file'
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, '-c', WRITER, path])
        start = time.monotonic()
        while not path.exists() and time.monotonic() - start < 30:
            time.sleep(0.01)
        time.sleep(0.02)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        content = path.read_text()
        assert content == content[0] * 1_000_000
        path.unlink()
    remove_unfinished(tmp_path)
    assert names(tmp_path) == []
