"""Rows of shards, claimed, read and decoded while the model runs: a thread reads, worker processes decode."""

import contextlib
import errno
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from flmm.archive.folder import ArchiveFolder
from flmm.archive.output import error_row
from flmm.archive.rows import FilePart, Row
from flmm.datasets import RefCOCO2PNG
from flmm.datasets.data_loader import end_with_parent, unchanged
from flmm.grounder.prepared_image import PreparedImage, prepare_image

Item = TypeVar('Item')

WINDOW = 16
"""So many images are sorted by their tokens before they are cut into batches; twice as many are decoded ahead."""
MAX_PHRASES = 1000
"""Most phrases of a row. Their masks of a large image are in memory together."""
ABSENT = (errno.ENOENT, errno.ENOTDIR)
OF_THE_IMAGE = (*ABSENT, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.EINVAL)
"""Errors of the system that are of an image and stay: those of its name, and of a damaged one (EINVAL: it says that
something lies before its first byte). Others are of the storage or the machine, and may pass.
"""


@dataclass(kw_only=True, frozen=True)
class ShardEnd:
    """All rows of a shard have been read, or it cannot be read.

    Args:
        number: of the shard.
        error: why it cannot be read.
    """

    number: int
    error: str | None = None


@dataclass(kw_only=True, frozen=True)
class PreparedRow:
    """A row as far as it comes without the model.

    Args:
        row: without its image.
        image: None where the row has no image or no phrase that can be read.
        indices: the phrases that can be read, by their place in the row.
        errors: rows of the output, for the image or for phrases.
        failure: why its shard cannot be read to the end.
        absent: whether the file of its image is not there.
    """

    row: Row
    image: PreparedImage | None
    indices: tuple[int, ...] = ()
    errors: tuple[dict[str, Any], ...] = ()
    failure: str | None = None
    absent: bool = False


class _Prepare(Dataset):
    """Prepares a row, which the sampler hands over in the place of an index."""

    def __init__(self, to_sample: RefCOCO2PNG) -> None:
        self.to_sample = to_sample

    def __getitem__(self, item: Row | ShardEnd) -> PreparedRow | ShardEnd:
        return item if isinstance(item, ShardEnd) else prepare_row(item, to_sample=self.to_sample)


def prepare_row(row: Row, *, to_sample: RefCOCO2PNG) -> PreparedRow:
    """Read and decode the image of a row, and check its phrases; what is wrong becomes rows of the output.

    A fault of the storage (input or output, permission, too many open files) becomes the failure of the shard: the row
    may be read tomorrow.
    """
    bare = replace(row, image=None)
    if row.error is not None:
        return PreparedRow(row=bare, image=None, errors=(error_row(bare, row.error),))
    if len(row.phrases) > MAX_PHRASES:
        message = f'{row.place} has {len(row.phrases)} phrases, at most {MAX_PHRASES} are grounded; cut the row'
        return PreparedRow(row=bare, image=None, errors=(error_row(bare, message),))
    problems = [_problem(phrase, to_sample) for phrase in row.phrases]
    indices = tuple(index for index, problem in enumerate(problems) if problem is None)
    errors = tuple(
        error_row(bare, f'{row.place}: {problem}', index=index, phrase=row.phrases[index])
        for index, problem in enumerate(problems)
        if problem is not None
    )
    try:
        content = row.image.read() if isinstance(row.image, FilePart) else row.image
        image = prepare_image(content, to_sample=to_sample, name=row.place)
    except OSError as error:  # of a tar that could be read a moment ago; images of their own are ValueErrors
        return PreparedRow(row=bare, image=None, failure=f'{row.place} cannot be read any more ({error})')
    except MemoryError:
        message = f'{row.place}: its image takes more memory than there is'
        return PreparedRow(row=bare, image=None, errors=(error_row(bare, message),))
    except ValueError as error:
        message = str(error) if row.place in str(error) else f'{row.place}: {error}'
        number = _errno(error)
        if number is not None and number not in OF_THE_IMAGE:
            return PreparedRow(row=bare, image=None, failure=message)
        return PreparedRow(row=bare, image=None, errors=(error_row(bare, message),), absent=number in ABSENT)
    return PreparedRow(row=bare, image=image if indices else None, indices=indices, errors=errors)


def _errno(error: BaseException | None) -> int | None:
    """Return the number of the system's error that an error was raised from; None where there is none."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:  # Pillow's own have none
            return error.errno
        error = error.__cause__
    return None


def _problem(phrase: Any, to_sample: RefCOCO2PNG) -> str | None:
    """Say why a phrase cannot be read; None where it can."""
    try:
        to_sample.text_tokenizer.phrases([phrase], separated=False)
    except ValueError as error:
        return str(error)
    return None


def prepared_rows(
    folder: ArchiveFolder, numbers: list[int], *, image_root: Path | None, to_sample: RefCOCO2PNG, num_workers: int
) -> Iterator[PreparedRow | ShardEnd]:
    """Claim shards one after the other and yield their rows in order, each shard's end behind them.

    Shards are claimed as their rows are read, some 40 rows before they are used: smaller ones several at a time.

    Args:
        folder: the output.
        numbers: the shards that may be claimed.
        image_root: see :meth:`flmm.archive.Shard.read_rows`.
        to_sample: what prepares images and reads phrases.
        num_workers: so many processes decode images; 0 does it here.
    """
    return iter(
        DataLoader(
            _Prepare(to_sample),
            sampler=read_ahead(_rows(folder, numbers, image_root), size=4),  # the loader itself keeps more
            batch_size=None,
            num_workers=num_workers,
            # In a process that was begun anew, others would be, too, and import everything.
            multiprocessing_context='fork' if num_workers else None,
            prefetch_factor=max(2, 2 * WINDOW // num_workers) if num_workers else None,
            collate_fn=unchanged,
            worker_init_fn=end_with_parent,
            generator=torch.Generator(),  # a loader draws a seed; the caller's random numbers stay as they are
        )
    )


def read_ahead(items: Iterator[Item], *, size: int) -> Iterator[Item]:
    """Yield items that a thread takes ahead of time, so that whoever uses them need not wait for the disk.

    Args:
        items: what to take; its errors are raised here.
        size: so many at most are kept.
    """
    kept: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=size)
    stopped = threading.Event()

    def take() -> None:
        try:
            for item in items:
                kept.put((item, None))
                if stopped.is_set():
                    return
            kept.put((None, StopIteration()))
        except BaseException as error:  # noqa: BLE001 - raised where the items are used
            kept.put((None, error))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        while True:
            item, error = kept.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        while thread.is_alive():  # it may wait for a place
            with contextlib.suppress(queue.Empty):
                kept.get(timeout=0.05)


def _rows(folder: ArchiveFolder, numbers: list[int], image_root: Path | None) -> Iterator[Row | ShardEnd]:
    for number in numbers:
        if not folder.take(number):
            continue
        try:
            yield from folder.shards[number].read_rows(image_root)
        except (OSError, ValueError) as error:
            yield ShardEnd(number=number, error=str(error))
        else:
            yield ShardEnd(number=number)
