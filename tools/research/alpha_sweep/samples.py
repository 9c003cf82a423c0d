"""The samples of a condition, with what the frozen parts say of them: that is computed once, not at every epoch."""

import copy
import math
import random
from collections.abc import Callable
from pathlib import Path

from mmengine.config import ConfigDict
from torch.utils.data import Dataset

from alpha_sweep.conditions import Condition
from alpha_sweep.controls import downsample, drop, even, oracle
from alpha_sweep.objects import SceneObjects
from flmm.datasets import RefCocoDataset
from flmm.models.frozen_lmm import FrozenLMM
from flmm.registry import DATASETS
from flmm.structures import GroundingSample

BATCH_SIZE = 8


class KnownSamples(Dataset):
    """Samples that carry their features. mmengine copies a data loader's config deeply; the samples are not copied.

    Args:
        samples: without pixels, which nobody reads again.
        kept_fractions: for each its tokens over those of its dense grid.
    """

    def __init__(self, samples: list[GroundingSample], *, kept_fractions: list[float]) -> None:
        self.samples = samples
        self.kept_fractions = kept_fractions

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> GroundingSample:
        return self.samples[index]

    def __deepcopy__(self, memo: dict) -> 'KnownSamples':
        return self


def known_samples(
    model: FrozenLMM, dataset: ConfigDict, condition: Condition, *, num_images: int, seed: int
) -> KnownSamples:
    """Build the first samples of a dataset under a condition and run the frozen parts on them.

    Args:
        model: whose frozen parts are used.
        dataset: config of a RefCocoDataset.
        condition: says how many tokens the images get.
        num_images: how many samples; each has all phrases of an image.
        seed: of the random sentences and of the tokens that 'drop' keeps; they don't depend on the condition.
    """
    dataset = copy.deepcopy(dataset)
    dataset.pipeline[-1].image_processor.update(condition.settings)
    if not dataset.get('test_mode', False):
        dataset.pipeline[-1].image_processor.update(condition.train_settings)
    items = DATASETS.build(ConfigDict(dataset, indices=num_images))
    control = _control(condition, items, seed=seed)
    device = next(model.parameters()).device
    samples, kept_fractions = [], []
    for start in range(0, len(items), BATCH_SIZE):
        batch = []
        for index in range(start, min(start + BATCH_SIZE, len(items))):
            random.seed(f'{seed} {index}')
            original = items[index]
            batch.append(control(original))
            kept_fractions.append(len(batch[-1].layout) / math.prod(original.grid_size))
        features = model.encode([sample.to(device) for sample in batch])
        for sample, found in zip(batch, features, strict=True):
            sample.features = found
            sample.lmm_inputs = None  # would fill the memory
        samples += batch
    return KnownSamples(samples, kept_fractions=kept_fractions)


def _control(condition: Condition, items: RefCocoDataset, *, seed: int) -> Callable[[GroundingSample], GroundingSample]:
    alpha = condition.alpha
    if condition.control is None:
        return lambda sample: sample
    if condition.control == 'even':
        return even
    if condition.control == 'drop':
        return lambda sample: drop(sample, alpha, seed=f'{seed} {Path(sample.image_path).name}')
    if condition.control == 'downsample':
        image_processor = items.pipeline.transforms[-1].image_processor
        return lambda sample: downsample(sample, alpha, image_processor=image_processor)
    objects = SceneObjects(items.ann_file)
    return lambda sample: oracle(sample, alpha, objects=objects.masks(sample.image_path), kind=condition.control)
