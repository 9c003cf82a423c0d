"""One training at a time writes to a work dir."""

import datetime
import fcntl
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from mmengine.logging import MMLogger

from flmm.engine.main_process import from_main_process

LOCK = 'training.lock'


@contextmanager
def work_dir_lock(work_dir: str | Path) -> Iterator[None]:
    """Hold a folder for one training, of one or several processes; to be entered by all of them.

    The kernel drops the lock when the main process ends, however that ends: none is ever left behind. It is a lock on
    ``training.lock`` by ``lockf``, which other machines see too, where the file system has locks.

    Raises:
        ValueError: another training holds it; the message names its process.
    """
    with ExitStack() as held:
        path = Path(work_dir, LOCK)
        from_main_process(lambda: _take(held.enter_context(_open(path))))
        yield


def _open(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open('a+', encoding='utf-8')  # not emptied: it may be another's


def _take(file: TextIO) -> None:
    """Lock the file and write who holds it."""
    work_dir = str(Path(file.name).parent)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        raise ValueError(
            f'another training writes to {work_dir!r}: {file.read().strip() or "it does not say which"}; wait for its '
            'end, stop it, or choose another --work-dir'
        ) from error
    except OSError as error:  # such as ENOLCK
        MMLogger.get_current_instance().warning(
            f'{work_dir!r} is on a file system without locks ({error}): nothing keeps a second training out of it'
        )
        return
    file.truncate(0)
    since = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
    file.write(f'process {os.getpid()} on {platform.node()}, since {since}: {shlex.join(sys.argv)}\n')
    file.flush()
