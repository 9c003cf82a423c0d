"""Train the demo's mask head over a fine-tuned LMM, at the size of the plain reading."""

import time
from dataclasses import replace
from pathlib import Path

from closer_look.questions import PLAIN_SIDE, SMALL
from flmm.config import read_config
from flmm.engine.runner_from_args import build_runner
from flmm.shapes import SceneConfig, generate_split, write_refcoco

DEMO = 'configs/shapes/demo.py'
SCENES = replace(SMALL, size_range=(0.07, 0.25))
"""Those of the measurement, and larger shapes, from which the mask head learns more."""


def train_masks(
    lmm: Path, work_dir: Path, *, num_images: int, seed: int, scenes: SceneConfig = SCENES
) -> tuple[Path, Path]:
    """Train as ``make demo`` does, over another LMM and on other scenes.

    Args:
        lmm: folder of the fine-tuned LMM.
        work_dir: gets scenes, config and checkpoint.
        num_images: of the scenes.
        seed: of the scenes and of the training.
        scenes: how they are drawn.

    Returns:
        Config and checkpoint, for ``Grounder.from_config``.
    """
    data = work_dir / 'data'
    write_refcoco(data, {'train': generate_split(seed=seed, split='train', num_images=num_images, config=scenes)})
    config = read_config(
        DEMO,
        {
            'model.lmm.name_or_path': str(lmm),
            'train_dataloader.dataset.data_root': f'{data}/',
            'randomness.seed': seed,
            'work_dir': str(work_dir),
            'launcher': 'none',
            'log_level': 'WARNING',
        },
    )
    config.train_dataloader.dataset.pipeline[-1].image_processor.update(
        pretrained_model_name_or_path=str(lmm), max_pixels=PLAIN_SIDE**2
    )
    for loop in ('val', 'test'):
        config.update({f'{loop}_dataloader': None, f'{loop}_cfg': None, f'{loop}_evaluator': None})
    path = work_dir / 'grounder.py'
    config.dump(path)
    config.experiment_name = f'{work_dir.name}-{time.time_ns()}'
    build_runner(config).train()
    return path, work_dir / 'epoch_1.pth'
