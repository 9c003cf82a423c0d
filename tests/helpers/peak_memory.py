"""How much memory a call takes at most, of a process of its own."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path


def peak_bytes(function: Callable[[], object]) -> int:
    """Run ``function`` in a fork of this process; return by how much its resident memory grew at most."""
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(function, sender))
    process.start()
    sender.close()
    grown = receiver.recv()  # EOFError where the function failed
    process.join()
    return grown


def _run(function: Callable[[], object], sender: Connection) -> None:
    Path('/proc/self/clear_refs').write_text('5')  # the peak is now what is resident
    before = _status('VmRSS')
    function()
    sender.send(_status('VmHWM') - before)


def _status(field: str) -> int:
    (line,) = (line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024
