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
from reinforcement.training import RATES, load, reinforce, supervise

LMM = Path('assets/demo_lmm')
TRAINING_SEED, HELD_OUT_SEED = 1, 1_000_003
"""Of the scenes."""
WARM = 'warm'
CONDITIONS = {
    WARM: 'before: warmed up with supervision',
    'supervised': 'more supervision',
    'point': 'reward: the point lies on the shape',
    'shuffled': 'the same reward, shuffled',
    'mask': 'reward: IoU of the mask that the phrase grounds',
}
REWARD = {'point': 'point_in_mask', 'shuffled': 'point_in_mask', 'mask': 'mask_iou'}


class Demo:
    """The measurement.

    Args:
        folder: gets scenes, models and what they said.
        num_scenes: to train on.
        num_held_out: scenes to measure on.
        warmup_steps: of supervision, before everything.
        steps: of each condition.
    """

    def __init__(self, folder: Path, *, num_scenes: int, num_held_out: int, warmup_steps: int, steps: int) -> None:
        self.folder, self.warmup_steps, self.steps = folder, warmup_steps, steps
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
                said = measure(load(folder), load_processor(folder), self.held_out, self.mask_iou, seed=seed)
                write_json(folder / 'answers.json', {'seconds': seconds, **said}, indent=None)
                print(f'{folder} is there, after {seconds:.0f} s of CPU', flush=True)

    def train(self, condition: str, folder: Path, seed: int) -> None:
        """Train one condition."""
        warm = folder.parent / WARM
        if condition == WARM:
            supervise(LMM, self.data, folder, steps=self.warmup_steps, rate=RATES[WARM], seed=seed)
        elif condition == 'supervised':
            # of another order of the scenes than the warm-up had
            supervise(warm, self.data, folder, steps=self.steps, rate=RATES[condition], seed=seed + 100)
        else:
            reinforce(
                warm,
                self.data,
                folder,
                reward=REWARD[condition],
                steps=self.steps,
                seed=seed + 100,
                mask_iou=self.mask_iou,
                shuffled=condition == 'shuffled',
            )
