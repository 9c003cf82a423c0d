"""A whole dataset of shapes in one folder, built once."""

import json
import multiprocessing
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from flmm.atomic_write import write_json
from flmm.shapes.generate import GENERATOR_VERSION, SPLITS, SceneSample, generate_sample
from flmm.shapes.scene import DIFFICULTY
from flmm.shapes.write_png import write_png
from flmm.shapes.write_refcoco import write_refcoco

PARAMETER_FILE = 'shapes.json'
PNG_SPLITS = ('train', 'val')
_FOLDERS = ('images', 'refcoco', 'grefcoco', 'annotations')


def build_dataset(
    root: str | Path,
    *,
    num_images: Mapping[str, int],
    difficulty: str = 'medium',
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
) -> dict[str, Any] | None:
    """Write a dataset in three layouts over the same images: RefCOCO and gRefCOCO (all splits), PNG (train and val).

    ``shapes.json``, written last, keeps the parameters: the same call again does nothing.

    Args:
        root: folder to write into; made if absent.
        num_images: scenes by split, of :data:`SPLITS`; splits of 0 scenes are left out.
        difficulty: one of :data:`DIFFICULTY`.
        seed: 0 or more.
        workers: processes that draw; what is written does not depend on it.
        overwrite: replace a dataset of other parameters.

    Returns:
        ``{'references': count by split, 'noun_segments': count by PNG split}``, or None if all was there already.

    Raises:
        ValueError: bad parameters, or ``root`` holds a dataset of other parameters and ``overwrite`` is not set.
    """
    _check(num_images, difficulty=difficulty, seed=seed, workers=workers)
    root = Path(root)
    parameters = {
        'generator_version': GENERATOR_VERSION,
        'seed': seed,
        'difficulty': difficulty,
        'num_images': {split: num_images[split] for split in SPLITS if num_images.get(split)},
    }
    parameter_file = root / PARAMETER_FILE
    if parameter_file.exists():
        present = json.loads(parameter_file.read_text(encoding='utf-8'))
        if present == parameters:
            return None
        if not overwrite:
            raise ValueError(
                f'{root} holds shapes of other parameters, {present} instead of {parameters}: '
                'choose another folder, delete this one, or set overwrite.'
            )
        parameter_file.unlink()
        for folder in _FOLDERS:
            shutil.rmtree(root / folder, ignore_errors=True)
    with _drawing(parameters, workers) as draw:
        references = write_refcoco(root, {split: draw(split) for split in parameters['num_images']})
        noun_segments = {
            split: write_png(root, split, draw(split)) for split in PNG_SPLITS if split in parameters['num_images']
        }
    write_json(parameter_file, parameters, indent=2)
    return {'references': references, 'noun_segments': noun_segments}


def _check(num_images: Mapping[str, int], *, difficulty: str, seed: int, workers: int) -> None:
    unknown = sorted(set(num_images) - set(SPLITS))
    if unknown:
        raise ValueError(f'Unknown splits {unknown} in num_images: choose from {SPLITS}.')
    if min(num_images.values(), default=0) < 0 or not sum(num_images.values()):
        raise ValueError(f'num_images={dict(num_images)}: give counts of 0 or more, and at least one scene.')
    if difficulty not in DIFFICULTY:
        raise ValueError(f'Unknown difficulty {difficulty!r}: choose one of {tuple(DIFFICULTY)}.')
    if seed < 0:
        raise ValueError(f'seed={seed} is negative: give 0 or more.')
    if workers < 1:
        raise ValueError(f'workers={workers}: at least one process must draw.')


@contextmanager
def _drawing(parameters: dict[str, Any], workers: int) -> Iterator[Any]:
    """Give a function from a split to an iterator over its scenes, drawn here or by a pool."""
    config = DIFFICULTY[parameters['difficulty']]
    num_threads, pool = cv2.getNumThreads(), None
    if workers > 1:
        # Ends OpenCV's threads before the pool may fork: a fork would copy their locks without the threads.
        cv2.setNumThreads(1)
        pool = multiprocessing.Pool(workers)

    def draw(split: str) -> Iterator[SceneSample]:
        generate = partial(generate_sample, seed=parameters['seed'], split=split, config=config)
        indices = range(parameters['num_images'][split])
        yield from pool.imap(generate, indices, chunksize=8) if pool else map(generate, indices)

    try:
        yield draw
    finally:
        if pool:
            pool.terminate()
            pool.join()
            cv2.setNumThreads(num_threads)
