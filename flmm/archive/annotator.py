"""Grounds shards: batches by tokens, an image read once for all its phrases, and a file for each shard."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from flmm.archive.folder import ArchiveFolder
from flmm.archive.output import error_row, found_rows
from flmm.archive.read_ahead import WINDOW, PreparedRow, ShardEnd, prepared_rows
from flmm.datasets.token_batch_sampler import token_batches
from flmm.grounder import Grounder
from flmm.grounder.batch import ground_batch

Result = TypeVar('Result')


@dataclass(kw_only=True)
class Report:
    """What a process has done.

    Args:
        shards: how many it wrote.
        images: how many rows of the input these have.
        errors: how many rows of the output have the status 'error'.
        busy: seconds in which the model ran, or its masks were encoded.
        waiting: seconds in which it waited for images.
        writing: seconds in which it waited for output to be written, which goes on beside it.
        seconds: all seconds.
        failed: why a shard could not be read, by its name.
    """

    shards: int = 0
    images: int = 0
    errors: int = 0
    busy: float = 0.0
    waiting: float = 0.0
    writing: float = 0.0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        seconds = self.seconds or 1.0
        shares = (
            f'the model busy {self.busy / seconds:.0%} of {self.seconds:.1f} s, waiting for images '
            f'{self.waiting / seconds:.0%}, for the disk of the output {self.writing / seconds:.0%}'
        )
        return (
            f'{self.shards} shards, {self.images} images, {self.errors} rows with errors, {len(self.failed)} shards '
            f'failed; {self.images / seconds:.1f} images/s, {shares}'
        )


class Annotator:
    """Grounds the shards of an archive that have no output yet.

    Rows depend on their own shard alone, and on the batch settings and the machine no more than the last digits that a
    batch rounds: batches are cut within a shard, always in the same way. So a run that was killed and gone on with
    gives the bits of one that was not.

    Args:
        grounder: the model.
        batch_size: at most so many images go through the model together.
        max_tokens: their prompts have at most so many tokens, padding included; a longer one goes by itself.
        num_workers: so many processes decode images while the model runs; 0 does it in between.
        image_root: the folder of images that rows name by path; None takes that of the input file.
    """

    def __init__(
        self,
        *,
        grounder: Grounder,
        batch_size: int = 8,
        max_tokens: int = 4096,
        num_workers: int = 2,
        image_root: str | Path | None = None,
    ) -> None:
        for name, value, least in (
            ('batch_size', batch_size, 1),
            ('max_tokens', max_tokens, 1),
            ('num_workers', num_workers, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f'{name} is {value!r}, expected a whole number from {least} on')
        if image_root is not None and not Path(image_root).is_dir():
            raise ValueError(f'image_root is {str(image_root)!r}, which is no folder')
        self.grounder = grounder
        self.batch_size, self.max_tokens, self.num_workers = batch_size, max_tokens, num_workers
        self.image_root = None if image_root is None else Path(image_root)

    def annotate(self, folder: ArchiveFolder, numbers: Sequence[int] | None = None) -> Report:
        """Ground shards that have no output and that no other process has claimed.

        A shard that cannot be read is left out, and stands in the report.

        Args:
            folder: the output.
            numbers: which shards; None: all.

        Raises:
            OSError: output cannot be written, such as on a full disk. What was written before stays.
        """
        logger = logging.getLogger(__name__)
        report, start = Report(), time.perf_counter()
        items = prepared_rows(
            folder,
            folder.missing() if numbers is None else list(numbers),
            image_root=self.image_root,
            to_sample=self.grounder.to_sample,
            num_workers=self.num_workers,
        )
        window: list[PreparedRow] = []
        rows: list[dict[str, Any]] = []
        images, failure, written = 0, None, None
        tried, absent = 0, []  # how many images of the shard, and the ids of those whose file is not there
        with ThreadPoolExecutor(1) as writer:  # the model goes on with the next shard meanwhile
            while (item := _timed(report, 'waiting', next, items, None)) is not None:
                if isinstance(item, PreparedRow):
                    images += 1
                    tried += item.row.error is None
                    absent += [item.row.image_id] if item.absent else []
                    failure = failure or item.failure
                    window.append(item)
                    if len(window) < WINDOW:
                        continue
                rows += _timed(report, 'busy', self._ground, window)
                window = []
                if not isinstance(item, ShardEnd):
                    continue
                name = folder.shards[item.number].name
                failure = failure or item.error
                if failure is None and tried and len(absent) == tried:
                    failure = (
                        f'none of the {tried} files of its images is there, such as that of {absent[0]!r}; '
                        'is the folder mounted, and --image-root (image_root) the right one?'
                    )
                if failure is None:
                    if written is not None:
                        _timed(report, 'writing', written.result)
                    written = writer.submit(folder.write, item.number, rows)
                    report.shards += 1
                    report.images += images
                    report.errors += sum(row['status'] == 'error' for row in rows)
                else:
                    folder.claims.release(item.number)
                    report.failed[name] = failure
                    logger.error('shard %s cannot be read: %s', name, failure)
                rows, images, failure = [], 0, None
                tried, absent = 0, []
                report.seconds = time.perf_counter() - start
                logger.info('%s: so far %s', name, report)
            if written is not None:
                _timed(report, 'writing', written.result)
        report.seconds = time.perf_counter() - start
        return report

    def _ground(self, window: list[PreparedRow]) -> list[dict[str, Any]]:
        """Ground some rows of a shard; return their output in order."""
        found: list[list[dict[str, Any]]] = [list(item.errors) for item in window]
        counts = [0 if item.image is None else len(item.image.processed.input_ids) for item in window]
        order = sorted((i for i, count in enumerate(counts) if count), key=counts.__getitem__)
        for batch in token_batches(order, counts, batch_size=self.batch_size, max_tokens=self.max_tokens):
            for i, rows in zip(batch, self._ground_batch([window[i] for i in batch]), strict=True):
                found[i] = sorted(
                    found[i] + rows, key=lambda row: -1 if row['phrase_index'] is None else row['phrase_index']
                )
        return [row for rows in found for row in rows]

    def _ground_batch(self, items: list[PreparedRow]) -> list[list[dict[str, Any]]]:
        """Ground a batch; where the model refuses it, or memory, image by image, so that one spoils no other."""
        phrases = [[item.row.phrases[index] for index in item.indices] for item in items]
        try:
            found = ground_batch(self.grounder, [item.image for item in items], phrases)
        except ValueError as error:
            problem = str(error)
        except (MemoryError, torch.OutOfMemoryError) as error:
            problem = f'{items[0].row.place} takes more memory than there is ({str(error) or type(error).__name__})'
        else:
            return [found_rows(item.row, each, item.indices) for item, each in zip(items, found, strict=True)]
        # Not where the error is at hand, which keeps the tensors of the batch.
        if len(items) > 1:
            return [rows for item in items for rows in self._ground_batch([item])]
        return [[error_row(items[0].row, problem)]]


def _timed(report: Report, what: str, call: Callable[..., Result], *arguments: Any) -> Result:
    """Add the seconds of a call to a field of the report, and return what it returns."""
    start = time.perf_counter()
    try:
        return call(*arguments)
    finally:
        setattr(report, what, getattr(report, what) + time.perf_counter() - start)
