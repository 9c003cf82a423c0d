"""What a data loader is given: how items become a batch, and which random numbers its workers draw."""

import os
import signal
import threading
import time

from flmm.registry import FUNCTIONS
from flmm.structures import GroundingSample


@FUNCTIONS.register_module()
def collate_grounding(items: list[GroundingSample | list[GroundingSample]]) -> dict[str, list[GroundingSample]]:
    """Return ``{'data_samples': samples}``, with the lists that ``RefCOCO2PNG(concat=False)`` makes flattened.

    A batch is a flat list: grids and lengths of samples differ, so nothing is stacked before the model.
    """
    samples = []
    for item in items:
        samples += item if isinstance(item, list) else [item]
    return {'data_samples': samples}


@FUNCTIONS.register_module()
def keep_torch_seed(worker_id: int) -> None:
    """Leave a worker the seed that torch gave it, and let it end with its parent; as a ``worker_init_fn``.

    torch draws that seed from the main process's generator whenever workers start, so it differs between epochs and
    comes back when a run is resumed. mmengine's own function gives a worker the same seed at every start.
    """
    end_with_parent(worker_id)


def end_with_parent(worker_id: int) -> None:
    """Let the worker of a data loader end when its parent wants it to, or has ended; as a ``worker_init_fn``.

    Ctrl-C and the SIGTERM of a cluster reach all processes of a run, of which the main one decides what to do. While it
    finishes its iteration it needs its workers.

    torch's own watch for the parent's end stands between two items. A worker that hands over more than a pipe takes,
    such as an image, waits for a reader: for ever, if the parent was killed, since other workers hold the pipe open.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, 'sigtimedwait'):  # which macOS lacks: a SIGTERM then ends the worker, whoever sends it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        if not hasattr(signal, 'sigtimedwait'):
            time.sleep(1)
            continue
        received = signal.sigtimedwait({signal.SIGTERM}, 1)
        if received is not None and received.si_pid == parent:
            os._exit(0)
    os._exit(1)
