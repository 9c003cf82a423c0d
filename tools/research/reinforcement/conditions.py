"""The models that are compared, and how each comes to be."""

import time
from functools import cached_property
from pathlib import Path

from flmm.atomic_write import write_json
from flmm.grounder import Grounder
from flmm.grounder.demo import demo_folder
from flmm.pretrained import load_processor
from flmm.reinforce import MaskIoU, PromptDataset
from reinforcement.measure import measure
from reinforcement.scenes import LOCATION_TOKENS, write_scenes
from reinforcement.training import load, reinforce, supervise

LMM = Path('assets/demo_lmm')
TRAINING_SEED, HELD_OUT_SEED = 1, 2_000_003
"""Of the scenes."""
BEFORE = 'before'
CONDITIONS = {
    BEFORE: 'the demo LMM, before',
    'supervised': 'supervision',
    'point': 'reward: points lie on the shapes',
    'shuffled': 'the same reward, shuffled',
    'mask': 'reward: IoU of what phrases ground',
    'both': 'half of the steps supervision, then points',
}
REWARD = {'point': 'point_in_mask', 'shuffled': 'point_in_mask', 'mask': 'mask_iou', 'both': 'point_in_mask'}


class Demo:
    """The measurement.

    Args:
        folder: gets scenes, models and what they said.
        num_scenes: to train on.
        num_held_out: scenes to measure on.
        steps: of each condition.
    """

    def __init__(self, folder: Path, *, num_scenes: int, num_held_out: int, steps: int) -> None:
        self.folder, self.steps = folder, steps
        self.data = write_scenes(folder / 'scenes', seed=TRAINING_SEED, number=num_scenes)
        held_out = write_scenes(folder / 'held_out', seed=HELD_OUT_SEED, number=num_held_out)
        self.held_out = PromptDataset(held_out, load_processor(LMM), needs={'rles'}, assistant_tokens=LOCATION_TOKENS)

    @cached_property
    def mask_iou(self) -> MaskIoU:
        """The reward by the demo's mask head over the demo LMM, as it was before all training here."""
        return MaskIoU(Grounder.from_pretrained(demo_folder()))

    def run(self, seed: int) -> None:
        """Train and measure all conditions of a seed; what is there stays."""
        for condition in CONDITIONS:
            folder = self.folder / f'seed_{seed}' / condition
            if not (folder / 'answers.json').exists():
                start = time.process_time()
                self.train(condition, folder, seed)
                seconds = time.process_time() - start
                model = LMM if condition == BEFORE else folder
                said = measure(load(model), load_processor(model), self.held_out, self.mask_iou, seed=seed)
                folder.mkdir(parents=True, exist_ok=True)
                write_json(folder / 'answers.json', {'seconds': seconds, **said}, indent=None)
                print(f'{folder} is there, after {seconds:.0f} s of CPU', flush=True)

    def train(self, condition: str, folder: Path, seed: int) -> None:
        """Train one condition."""
        start = LMM
        if condition == 'both':
            start = folder / 'supervised'
            supervise(LMM, self.data, start, steps=self.steps // 2, seed=seed)
        if condition == 'supervised':
            supervise(LMM, self.data, folder, steps=self.steps, seed=seed)
        elif condition != BEFORE:
            reinforce(
                start,
                self.data,
                folder,
                reward=REWARD[condition],
                steps=self.steps // 2 if condition == 'both' else self.steps,
                seed=seed,
                mask_iou=self.mask_iou,
                shuffled=condition == 'shuffled',
            )
