"""What datasets of shapes have in common: a file of parameters by which they are built once, and scenes drawn apart."""

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import cv2

from flmm.shapes.scene import DIFFICULTY

PARAMETER_FILE = 'shapes.json'
"""Written last: where it is, the dataset is whole."""
_FOLDERS = ('images', 'refcoco', 'grefcoco', 'annotations', 'meta_expressions', 'train', 'val', 'test')
"""Of pictures, and of videos."""
Sample = TypeVar('Sample')


def is_built(root: Path, parameters: dict[str, Any], *, overwrite: bool) -> bool:
    """Tell whether a dataset of these parameters is there; one of other parameters is removed if ``overwrite`` is set.

    Args:
        root: folder of the dataset.
        parameters: what it depends on, as JSON has it.
        overwrite: whether it may be removed; what is no part of it stays.

    Raises:
        ValueError: there is one of other parameters, and ``overwrite`` is not set.
    """
    parameter_file = root / PARAMETER_FILE
    if not parameter_file.exists():
        return False
    present = json.loads(parameter_file.read_text(encoding='utf-8'))
    if present == parameters:
        return True
    if not overwrite:
        raise ValueError(
            f'{root} holds shapes of other parameters, {present} instead of {parameters}: '
            'choose another folder, delete this one, or set overwrite.'
        )
    parameter_file.unlink()
    for folder in _FOLDERS:
        shutil.rmtree(root / folder, ignore_errors=True)
    return False


def check_drawing(*, difficulty: str, seed: int, workers: int) -> None:
    """Refuse what nothing can be drawn by.

    Raises:
        ValueError: an unknown difficulty, a negative seed, or no process.
    """
    if difficulty not in DIFFICULTY:
        raise ValueError(f'Unknown difficulty {difficulty!r}: choose one of {tuple(DIFFICULTY)}.')
    if seed < 0:
        raise ValueError(f'seed={seed} is negative: give 0 or more.')
    if workers < 1:
        raise ValueError(f'workers={workers}: at least one process must draw.')


@contextmanager
def drawing(workers: int) -> Iterator[Callable[[Callable[[int], Sample], int], Iterator[Sample]]]:
    """Give a function that draws samples 0 to n - 1, here or in a pool of processes; their order is always the same."""
    num_threads, pool = cv2.getNumThreads(), None
    if workers > 1:
        # Ends OpenCV's threads before the pool may fork: a fork would copy their locks without the threads.
        cv2.setNumThreads(1)
        pool = multiprocessing.Pool(workers)

    def draw(generate: Callable[[int], Sample], number: int) -> Iterator[Sample]:
        yield from pool.imap(generate, range(number), chunksize=8) if pool else map(generate, range(number))

    try:
        yield draw
    finally:
        if pool:
            pool.terminate()
            pool.join()
            cv2.setNumThreads(num_threads)
