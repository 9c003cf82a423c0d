"""Splits of scenes, reproducible from a seed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from flmm.shapes.expressions import Reference, refer
from flmm.shapes.generalized import refer_to_none, refer_to_several
from flmm.shapes.render import render_scene
from flmm.shapes.scene import Scene, SceneConfig, sample_scene

GENERATOR_VERSION = 4  # raise it with any change of what a seed gives
SPLITS = ('train', 'val', 'testA', 'testB')
_IDS_PER_SPLIT = 1_000_000


@dataclass(frozen=True, kw_only=True)
class SceneSample:
    """One drawn scene.

    Args:
        image_id: unique over all splits, at least 1.
        scene: what was drawn.
        image: [H, W, 3] uint8 RGB.
        masks: [num_shapes, H, W] bool, visible pixels; disjoint.
        references: sentences for each shape that can be referred to.
        generalized_references: these and those to several shapes and to none, in random order, so that what comes
            first says nothing of what is there.
    """

    image_id: int
    scene: Scene
    image: np.ndarray
    masks: np.ndarray
    references: list[Reference]
    generalized_references: list[Reference]


def split_config(split: str, config: SceneConfig) -> SceneConfig:
    """Adapt the scenes to a split: testA is crowded (the upper half of num_shapes), testB is full of look-alikes.

    Raises:
        ValueError: unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f'Unknown split {split!r}: choose one of {SPLITS}.')
    if split == 'testA':
        fewest, most = config.num_shapes
        return replace(config, num_shapes=((fewest + most) // 2, most))
    return replace(config, similarity=1.0) if split == 'testB' else config


def generate_sample(index: int, *, seed: int, split: str, config: SceneConfig) -> SceneSample:
    """Generate one scene of a split; it depends on the arguments alone.

    Raises:
        ValueError: unknown split, a negative seed, or an index beyond the ids of a split.
    """
    config = split_config(split, config)
    if seed < 0:
        raise ValueError(f'seed={seed} is negative: give 0 or more.')
    if not 0 <= index < _IDS_PER_SPLIT:
        raise ValueError(f'index={index}: a split holds {_IDS_PER_SPLIT} scenes, counted from 0.')
    split_index = SPLITS.index(split)
    scene_rng, render_rng, refer_rng, generalize_rng = np.random.default_rng([seed, split_index, index]).spawn(4)
    scene = sample_scene(scene_rng, config)
    image, masks = render_scene(scene, render_rng)
    references = refer(scene, masks, refer_rng)
    generalized = [
        *references,
        *(each for write in (refer_to_several, refer_to_none) for each in write(scene, masks, generalize_rng)),
    ]
    generalized = [generalized[i] for i in generalize_rng.permutation(len(generalized))]
    return SceneSample(
        image_id=split_index * _IDS_PER_SPLIT + index + 1,
        scene=scene,
        image=image,
        masks=masks,
        references=references,
        generalized_references=generalized,
    )


def generate_split(*, seed: int, split: str, num_images: int, config: SceneConfig) -> Iterator[SceneSample]:
    """Generate the scenes of a split one by one; a shorter split is a prefix of a longer one.

    Raises:
        ValueError: unknown split or a negative seed.
    """
    for index in range(num_images):
        yield generate_sample(index, seed=seed, split=split, config=config)
