"""What a data loader is given: how items become a batch, and which random numbers its workers draw."""

import math
import os
import select
import signal
import threading
import time
from typing import TypeVar

from flmm.datasets.item import SkippedItem
from flmm.registry import FUNCTIONS
from flmm.structures import GroundingSample

Item = TypeVar('Item')

GRACE = 5
"""Seconds that a worker has after a SIGTERM, for the batch that its parent waits for. Python does not say who sends it,
so a parent that ends in the middle of its data waits as long for workers that hold some."""


@FUNCTIONS.register_module()
def collate_grounding(
    items: list[GroundingSample | list[GroundingSample] | SkippedItem],
) -> dict[str, list[GroundingSample] | list[str]]:
    """Return ``{'data_samples': samples}``, with the lists that ``RefCOCO2PNG(concat=False)`` makes flattened.

    A batch is a flat list: grids and lengths of samples differ, so nothing is stacked before the model. Where items
    were left out, ``skipped_items`` has the reason of each: whoever counts them takes it out
    (:class:`flmm.engine.SkippedItemsHook`), and the model refuses the batch of one who does not.
    """
    samples, skipped = [], []
    for item in items:
        if isinstance(item, SkippedItem):
            skipped.append(item.reason)
        else:
            samples += item if isinstance(item, list) else [item]
    return {'data_samples': samples, 'skipped_items': skipped} if skipped else {'data_samples': samples}


def unchanged(item: Item) -> Item:
    """Hand an item over as it is; the ``collate_fn`` of loaders that make no batches."""
    return item


@FUNCTIONS.register_module()
def keep_torch_seed(worker_id: int) -> None:
    """Leave a worker the seed that torch gave it, and let it end with its parent; as a ``worker_init_fn``.

    torch draws that seed from the main process's generator whenever workers start, so it differs between epochs and
    comes back when a run is resumed. mmengine's own function gives a worker the same seed at every start.
    """
    end_with_parent(worker_id)


def end_with_parent(worker_id: int) -> None:
    """Let the worker of a data loader live as long as its parent needs it, and no longer; as a ``worker_init_fn``.

    Ctrl-C and the SIGTERM of a cluster reach all processes of a run, of which the main one decides what to do: to
    finish its iteration, it needs its workers. After a SIGTERM a worker has ``GRACE`` seconds; a second one ends it: a
    parent that ends sends two to workers that hang.

    torch's own watch for the parent's end stands between two items. A worker that hands over more than a pipe takes,
    such as an image, waits for a reader: for ever, if the parent was killed, since other workers hold the pipe open.
    """
    received, noted = os.pipe()
    os.set_blocking(noted, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(noted)  # by which the thread learns of it, even where the worker hangs
    threading.Thread(target=_end_with, args=(os.getppid(), received), daemon=True).start()


def _end_with(parent: int, received: int) -> None:
    end = math.inf
    while os.getppid() == parent and time.monotonic() < end:
        if select.select([received], [], [], 1)[0] and os.read(received, 1)[0] == signal.SIGTERM:
            end = time.monotonic() + GRACE if end == math.inf else -math.inf
    os._exit(0 if os.getppid() == parent else 1)
