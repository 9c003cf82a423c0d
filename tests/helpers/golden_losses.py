"""The losses of 100 iterations of the demo, from drawing the scenes to the gradients: a curve that no change may move.

tests/artifacts/make_golden_losses.py stores it.
"""

import json
from pathlib import Path

from tiny_refcoco import REPOSITORY, train

from flmm.shapes import build_dataset

NUM_IMAGES, NUM_EPOCHS = 50, 2
LOSSES = ('loss_mask', 'loss_dice', 'sam_loss_mask', 'sam_loss_dice')


def golden_losses(folder: Path) -> dict[str, list[float]]:
    """Train ``configs/shapes/demo.py`` on 50 images for two epochs, one image an iteration; each loss by iteration."""
    build_dataset(folder / 'shapes', num_images={'train': NUM_IMAGES}, seed=0)
    train(
        REPOSITORY / 'configs' / 'shapes' / 'demo.py',
        folder / 'run',
        f'train_dataloader.dataset.data_root={folder}/shapes/',
        'train_dataloader.batch_size=1',
        '+train_dataloader.dataset.pipeline.2.independent=False',  # this and the next as the curve was stored
        'model.loss_iou=None',
        f'train_cfg.max_epochs={NUM_EPOCHS}',
        'default_hooks.logger.interval=1',
        'default_hooks.checkpoint.interval=-1',
        'val_dataloader=None',
        'val_evaluator=None',
        'val_cfg=None',
        '+log_processor.window_size=1',
    )
    (scalars,) = (folder / 'run').glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text(encoding='utf-8').splitlines()]
    return {name: [row[name] for row in rows] for name in LOSSES}
