"""What a check of data finds."""

import collections
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mmengine.logging import MMLogger

ERRORS = {
    'dataset': 'the dataset cannot be built or used: its annotations, or a setting',
    'image absent': 'the file of an image does not exist',
    'image unreadable': 'an image is damaged, of another format, too large, or stored turned',
    'image size': 'an image has another size than its annotation',
    'image refused': "the LMM's processor refuses an image",
    'mask file absent': 'a mask lies in a file that does not exist',
    'mask': 'a mask is empty, of another size, or cannot be decoded',
    'phrase without a word': 'a phrase has no letter and no digit',
    'phrase': 'a phrase cannot be tokenized, or has too many tokens',
    'sequence': 'prompt and phrases of an item do not make a sequence: most often, they have too many tokens',
}
"""Kinds of problems that stop training or testing."""
WARNINGS = {
    'left out': 'what the dataset or a transform leaves out, as it writes to the log',
    'tiny mask': 'a mask has one or two pixels',
    'mask of everything': 'a mask covers the image, but for one percent at most',
    'phrase twice': 'two objects of an image have the same phrase',
    'train and test': 'images of a train loader are in a test set, too',
    'not checked': 'the check does not know a dataset or pipeline',
}
"""Kinds of what may be meant so."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, or may be.

    Args:
        kind: one of :data:`ERRORS` or :data:`WARNINGS`.
        message: what was found, what was expected, and the remedy.
        datasets: labels of the datasets that have it.
        image: path of the image; None where it is about none, or many.
        entry: which annotation or phrase of the image; None where it is about the whole.
    """

    kind: str
    message: str
    datasets: tuple[str, ...]
    image: str | None = None
    entry: Any = None

    @property
    def is_error(self) -> bool:
        """Whether training or testing would stop there."""
        return self.kind in ERRORS


@dataclass(kw_only=True)
class Problems:
    """All problems, counted by kind; of each kind the first ``limit`` are kept, so that memory is bounded."""

    limit: int
    kept: list[Problem] = field(default_factory=list)
    counts: collections.Counter[str] = field(default_factory=collections.Counter)

    def add(self, problem: Problem) -> None:
        """Count a problem, and keep it if there is room."""
        self.counts[problem.kind] += 1
        if self.counts[problem.kind] <= self.limit:
            self.kept.append(problem)

    @property
    def num_errors(self) -> int:
        """How many problems stop training or testing."""
        return sum(count for kind, count in self.counts.items() if kind in ERRORS)

    @property
    def num_warnings(self) -> int:
        """How many may be meant so."""
        return self.counts.total() - self.num_errors


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def logged_warnings() -> Iterator[list[str]]:
    """Take what mmengine's logger is told meanwhile, instead of writing it to the screen."""
    logger, recorder = MMLogger.get_current_instance(), _Recorder()
    handlers, logger.handlers = logger.handlers, [recorder]
    try:
        yield recorder.messages
    finally:
        logger.handlers = handlers
