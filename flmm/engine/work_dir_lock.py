"""One training at a time writes to a work dir."""

import datetime
import fcntl
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import MMLogger

LOCK = 'training.lock'


@contextmanager
def work_dir_lock(work_dir: str | Path) -> Iterator[None]:
    """Hold a folder for one training, of one or several processes; to be entered by all of them.

    The kernel drops the lock when the main process ends, however that ends: none is ever left behind. It is a lock on
    ``training.lock`` by ``lockf``, which other machines see too, where the file system has locks.

    Raises:
        ValueError: another training holds it; the message names its process.
    """
    if not is_main_process():
        _raise_everywhere(None)
        yield
        return
    with Path(work_dir, LOCK).open('a+', encoding='utf-8') as file:  # not emptied: it may be another's
        _raise_everywhere(_take(file, work_dir))
        yield


def _take(file, work_dir: str | Path) -> str | None:
    """Lock the file and write who holds it; return what is wrong if another does."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        return (
            f'another training writes to {str(work_dir)!r}: {file.read().strip() or "it does not say which"}; wait for '
            'its end, stop it, or choose another --work-dir'
        )
    except OSError as error:  # such as ENOLCK
        MMLogger.get_current_instance().warning(
            f'{str(work_dir)!r} is on a file system without locks ({error}): nothing keeps a second training out of it'
        )
        return None
    file.truncate(0)
    since = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')
    file.write(f'process {os.getpid()} on {platform.node()}, since {since}: {shlex.join(sys.argv)}\n')
    file.flush()
    return None


def _raise_everywhere(problem: str | None) -> None:
    """Raise the main process's error in all processes; the others would wait for it."""
    problems = [problem]
    broadcast_object_list(problems)
    if problems[0] is not None:
        raise ValueError(problems[0])
