"""Which checkpoint is kept as the best, by the metrics of GroundingMetric and the shipped CheckpointHook."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import EarlyStoppingHook
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from predicted_samples import predicted_sample
from torch import nn

from flmm.engine import CheckpointHook, GroundingRunner
from flmm.evaluation import GroundingMetric
from flmm.scoring.metrics import METRICS

RUNTIME = Path(__file__).parents[2] / 'configs' / '_base_' / 'default_runtime.py'
EPOCHS = [(0.9, 0.3), (0.2, 0.7), (0.5, 0.6)]
"""Coarse and refined IoU after each epoch."""


@pytest.fixture(autouse=True)
def _own_scope():
    """A Runner leaves its scope behind, in which later tests would look for flmm's types."""
    with DefaultScope.overwrite_default_scope('mmengine'):
        yield


class Toy(BaseModel):
    """Predicts masks of known IoUs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.validated = 0

    def forward(self, inputs, mode='tensor'):
        if mode == 'loss':
            return {'loss': self.layer(inputs).sum()}
        truth = torch.ones(1, 10, 10, dtype=torch.bool)
        found = [(torch.arange(100) < 100 * iou).reshape(1, 10, 10) for iou in EPOCHS[self.validated]]
        self.validated += 1
        return [predicted_sample(truth, *found, dataset_name='shapes/val', kinds=['name'])]


class Loss(BaseMetric):
    """A user's own metric, of which less is better."""

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return {'own_loss': 1.0}


def train(tmp_path, evaluator, hooks=(), **checkpoint):
    """Train for three epochs; return the files of the best checkpoints."""
    settings = Config.fromfile(RUNTIME).default_hooks.checkpoint
    data = [{'inputs': torch.zeros(1)}]
    loader = {'batch_size': 1, 'sampler': {'type': 'DefaultSampler', 'shuffle': False}, 'dataset': data}
    loader['collate_fn'] = {'type': 'default_collate'}
    runner = GroundingRunner(
        model=Toy(), work_dir=str(tmp_path), experiment_name=tmp_path.name, default_scope='mmengine',
        train_dataloader=loader, train_cfg={'by_epoch': True, 'max_epochs': 3},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1}},
        val_dataloader=loader, val_cfg={}, val_evaluator=evaluator,
        default_hooks={'checkpoint': {**settings, 'type': CheckpointHook, **checkpoint}},
        custom_hooks=list(hooks), log_level='ERROR',
    )  # fmt: skip
    runner.train()
    return sorted(path.name for path in tmp_path.glob('best_*'))


def test_auto_takes_the_largest_refined_miou_of_the_first_test_set(tmp_path):
    found = train(tmp_path, [{'type': GroundingMetric}, {'type': Loss}], save_best='auto')
    assert found == ['best_shapes_val_refined_mIoU_epoch_2.pth']


@pytest.mark.parametrize(
    ('key', 'epoch'),
    [
        ('shapes/val/refined/cIoU', 2),
        ('shapes/val/refined/mIoU', 2),
        ('shapes/val/refined/mIoU/name', 2),
        ('shapes/val/refined/Pr@0.7', 2),
        ('shapes/val/coarse/cIoU', 1),
        ('shapes/val/coarse/mIoU', 1),
    ],
)
def test_any_key_can_be_named_without_a_rule(key, epoch, tmp_path):
    assert train(tmp_path, {'type': GroundingMetric}, save_best=key) == [
        f'best_{key.replace("/", "_")}_epoch_{epoch}.pth'
    ]


def test_several_keys_with_a_prefix_beside_another_metric(tmp_path):
    keys = ['own/shapes/val/coarse/cIoU', 'own/shapes/val/refined/mIoU', 'own_loss']
    assert train(tmp_path, [{'type': Loss}, {'type': GroundingMetric, 'prefix': 'own'}], save_best=keys) == [
        'best_own_loss_epoch_1.pth',
        'best_own_shapes_val_coarse_cIoU_epoch_1.pth',
        'best_own_shapes_val_refined_mIoU_epoch_2.pth',
    ]


def test_what_mmengine_knows_of_metrics_is_kept():
    shipped = Config.fromfile(RUNTIME).default_hooks.checkpoint.greater_keys
    assert set(CheckpointHook._default_greater_keys) - {'mIoU'} | {'IoU', 'Pr@', '/AR', 'J&F'} == set(shipped)


@pytest.mark.parametrize(
    ('key', 'rule'),
    [
        *((f'png_val/coarse/{metric}', 'greater') for metric in (*METRICS, 'J&F', 'J&F/motion:stops')),
        ('png_val/coarse/own_loss', 'less'),
        ('own/coarse_loss', 'less'),
    ],
)
def test_the_rule_of_every_metric_is_known(key, rule):
    settings = Config.fromfile(RUNTIME).default_hooks.checkpoint
    settings.pop('type')
    assert CheckpointHook(**settings, save_best=key).rules == [rule]


def test_early_stopping_beside_it(tmp_path):
    """EarlyStoppingHook has a list of its own, with mIoU; it asks for the rule of cIoU when it is built."""
    stop = {'type': EarlyStoppingHook, 'monitor': 'shapes/val/refined/mIoU', 'patience': 1}
    found = train(tmp_path, {'type': GroundingMetric}, hooks=[stop], save_best='auto')
    assert found == ['best_shapes_val_refined_mIoU_epoch_2.pth']
    with pytest.raises(ValueError, match='Cannot infer the rule for shapes/val/refined/cIoU, thus rule must be'):
        EarlyStoppingHook(monitor='shapes/val/refined/cIoU')
    EarlyStoppingHook(monitor='shapes/val/refined/cIoU', rule='greater')
