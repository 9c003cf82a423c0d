"""A whole dataset of shapes in one folder, built once."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from flmm.atomic_write import write_json
from flmm.shapes.build_once import PARAMETER_FILE, check_drawing, drawing, is_built
from flmm.shapes.generate import GENERATOR_VERSION, SPLITS, SceneSample, generate_sample
from flmm.shapes.scene import DIFFICULTY
from flmm.shapes.write_png import write_png
from flmm.shapes.write_refcoco import write_refcoco

PNG_SPLITS = ('train', 'val')


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
    drawn = {split: num_images[split] for split in SPLITS if num_images.get(split)}
    parameters = {
        'generator_version': GENERATOR_VERSION,
        'seed': seed,
        'difficulty': difficulty,
        'num_images': drawn,
    }
    if is_built(root, parameters, overwrite=overwrite):
        return None
    config = DIFFICULTY[difficulty]
    with drawing(workers) as draw_all:

        def draw(split: str) -> Iterator[SceneSample]:
            generate = partial(generate_sample, seed=seed, split=split, config=config)
            return draw_all(generate, drawn[split])

        references = write_refcoco(root, {split: draw(split) for split in drawn})
        noun_segments = {split: write_png(root, split, draw(split)) for split in PNG_SPLITS if split in drawn}
    write_json(root / PARAMETER_FILE, parameters, indent=2)
    return {'references': references, 'noun_segments': noun_segments}


def _check(num_images: Mapping[str, int], *, difficulty: str, seed: int, workers: int) -> None:
    unknown = sorted(set(num_images) - set(SPLITS))
    if unknown:
        raise ValueError(f'Unknown splits {unknown} in num_images: choose from {SPLITS}.')
    if min(num_images.values(), default=0) < 0 or not sum(num_images.values()):
        raise ValueError(f'num_images={dict(num_images)}: give counts of 0 or more, and at least one scene.')
    check_drawing(difficulty=difficulty, seed=seed, workers=workers)
