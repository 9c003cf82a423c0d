"""Ask all questions in all ways, and note what came of each."""

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from closer_look.conditions import MARGIN, MAX_NEW_TOKENS, MIN_SIDE, Condition, conditions, random_box
from closer_look.questions import ORDINARY, PLAIN_SIDE, SMALL, AskedScene, Question, draw_scene
from flmm.atomic_write import write_json
from flmm.grounder import CloserAnswer, Grounder, ReadImage
from flmm.grounder.prepared_image import PreparedImage
from flmm.grounder.region import WHICH_OBJECT, region_around

EVALUATION_SEED = 1_000_003
"""Scenes of the measurement are of this seed; those of all training are of small ones."""


def measure(grounder: Grounder, file: Path, *, num_scenes: int, seed: int) -> None:
    """Ask one question about each scene in every way, and write what was said; nothing happens where ``file`` exists.

    Args:
        grounder: with the fine-tuned LMM.
        file: JSON; for each question a dict of its own, and by condition what :func:`ask` returns.
        num_scenes: how many.
        seed: of the scenes.
    """
    if file.exists():
        return
    found = []
    for index in range(num_scenes):
        rng = np.random.default_rng([EVALUATION_SEED, seed, index])
        scene = draw_scene(rng, SMALL)
        question = scene.questions[0]
        reads: dict[int, tuple[ReadImage, float]] = {}
        answers = {}
        for name, condition in conditions().items():
            if condition.side not in reads:
                reads[condition.side] = _timed(partial(read_at, grounder, scene, condition.side))
            read, seconds = reads[condition.side]
            answers[name] = ask(read, scene, question, condition, rng)
            answers[name]['seconds'] += seconds
        found.append({'topic': question.topic, 'about': question.about, 'answer': question.answer, 'said': answers})
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, found)


def measure_skills(grounder: Grounder, file: Path, *, num_scenes: int) -> None:
    """Ask what the fine-tuned LMM should know, and write what was said; nothing happens where ``file`` exists.

    ``ordinary`` has one question about each scene of the sizes that the demo LMM has learnt from, read as they are.
    ``named`` has the object that the LMM names for one question about each scene of small shapes, read plainly.
    """
    if file.exists():
        return
    found: dict[str, list[dict[str, str]]] = {'ordinary': [], 'named': []}
    for index in range(num_scenes):
        scene = draw_scene(np.random.default_rng([EVALUATION_SEED, index]), ORDINARY)
        question = scene.questions[0]
        read = read_at(grounder, scene, math.sqrt(scene.image.width * scene.image.height))
        said = read.chat(question.text, max_new_tokens=MAX_NEW_TOKENS).text
        found['ordinary'].append({'topic': question.topic, 'answer': question.answer, 'said': said})

        scene = draw_scene(np.random.default_rng([EVALUATION_SEED, 0, index]), SMALL)
        question = scene.questions[0]
        asked = WHICH_OBJECT.format(question=question.text)
        said = read_at(grounder, scene, PLAIN_SIDE).chat(asked, max_new_tokens=MAX_NEW_TOKENS).text
        found['named'].append({'topic': question.topic, 'answer': question.about, 'said': said})
    write_json(file, found)


def read_at(grounder: Grounder, scene: AskedScene, side: float) -> ReadImage:
    """Read a scene by an area of ``side`` x ``side`` px, to whole units."""
    processor, to_sample = grounder.to_sample.image_processor, grounder.to_sample
    processed = processor.lay_out(
        *processor.read_image(scene.image, num_pixels=round(side**2)), prompt=to_sample.prompt
    )
    return grounder.read(PreparedImage(image=scene.image, name='scene', processed=processed))


def ask(
    read: ReadImage, scene: AskedScene, question: Question, condition: Condition, rng: np.random.Generator
) -> dict[str, Any]:
    """Ask in one way.

    Returns:
        ``said``, the answer, None where nothing was found to look at; ``tokens``, the image tokens behind it, those of
        the first reading included; ``seconds`` of CPU behind the first reading; with a region also ``scale``, and
        ``covered``, the share of the shape that is in it.
    """
    if condition.how is None:
        answer, seconds = _timed(lambda: read.chat(question.text, max_new_tokens=MAX_NEW_TOKENS))
        return {'said': answer.text, 'tokens': _num_tokens(read), 'seconds': seconds}
    mask = torch.from_numpy(scene.masks[question.index])
    true_box = region_around(mask, margin=MARGIN, min_side=MIN_SIDE)
    where = {
        'true': {'box': true_box},
        'random': {'box': random_box(true_box, rng)},
        'grounded': {'about': question.about},
        'asked': {},
    }[condition.region]
    settings = {'how': condition.how, 'scale': condition.scale, 'margin': MARGIN, 'min_side': MIN_SIDE, **where}

    def look() -> CloserAnswer | None:
        try:
            return read.chat_closer(question.text, max_new_tokens=MAX_NEW_TOKENS, **settings)
        except ValueError as error:
            if not str(error).startswith(('nothing was found', 'the LMM names no object')):
                raise
            return None

    closer, seconds = _timed(look)
    if closer is None:
        return {'said': None, 'tokens': _num_tokens(read), 'seconds': seconds, 'covered': 0.0}
    left, top, right, bottom = closer.region.box
    before = 0 if condition.how == 'image_and_crop' or condition.region in ('true', 'random') else _num_tokens(read)
    return {
        'said': closer.text,
        'tokens': before + closer.num_image_tokens,
        'seconds': seconds,
        'scale': closer.scale,
        'covered': float(mask[top:bottom, left:right].sum() / mask.sum()),
    }


def _num_tokens(read: ReadImage) -> int:
    return len(read.processed.views[-1].columns)


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """Run, and return the seconds of CPU that it took, which other programs on the machine do not add to."""
    start = time.process_time()
    found = run()
    return found, time.process_time() - start
