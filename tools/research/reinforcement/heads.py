"""Mask heads over an LMM before and after it was trained."""

import json
import statistics
from pathlib import Path

from closer_look.masks import train_masks

from flmm.atomic_write import write_json
from flmm.grounder import Grounder
from flmm.reinforce import AnsweredObject, MaskIoU
from reinforcement.conditions import LMM, Demo
from reinforcement.scenes import SCENES

HEADS = {
    'demo': "the demo's own head over the demo LMM",
    'before': 'a new head over the demo LMM',
    'supervised': 'a new head over the LMM after supervision',
    'point': 'a new head over the LMM after reinforcement by points',
}


def measure_heads(demo: Demo, seed: int, *, num_images: int) -> None:
    """Train a mask head over LMMs of a seed, and ground the shapes of the held-out scenes; what is there stays.

    Writes ``heads.json``: the mean IoU of the coarse masks of all phrases with their shapes, by the label of the head.
    """
    file = demo.folder / 'heads.json'
    found = json.loads(file.read_text(encoding='utf-8')) if file.exists() else {}
    for name, label in HEADS.items():
        if label in found:
            continue
        scorer = demo.mask_iou
        if name != 'demo':
            lmm = LMM if name == 'before' else demo.folder / f'seed_{seed}' / name
            config, checkpoint = train_masks(
                lmm, demo.folder / 'heads' / name, num_images=num_images, seed=seed, scenes=SCENES
            )
            scorer = MaskIoU(Grounder.from_config(config, checkpoint=checkpoint))
        found[label] = _mean_iou(demo, scorer)
        write_json(file, found)
        print(f'{label}: {found[label]:.3f}', flush=True)


def _mean_iou(demo: Demo, scorer: MaskIoU) -> float:
    """Ground the phrases of the true answers, all of a scene matched with its shapes."""
    lines = Path(demo.held_out.conversations.path).read_text(encoding='utf-8').splitlines()
    rows = [demo.held_out[i] for i in range(len(demo.held_out))]
    answers = []
    for line in lines:
        said = json.loads(line)['messages'][-1]['content']
        answers.append(tuple(AnsweredObject(phrase=piece.partition('<')[0]) for piece in said.split('.')))
    images = [row['images'][0] for row in rows]
    return statistics.mean(scorer(answers, [row['truth'] for row in rows], images, [row['source'] for row in rows]))
