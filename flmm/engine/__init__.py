"""What flmm adds to mmengine's training: a Runner, loops, schedules and hooks."""

from flmm.config import check_config_keys
from flmm.engine.calibrate_existence_hook import CalibrateExistenceHook
from flmm.engine.checkpoint_hook import CheckpointHook
from flmm.engine.finite_check_hook import FiniteCheckHook, FiniteCheckpointHook
from flmm.engine.frozen_parts_hook import FrozenPartsHook
from flmm.engine.hanging_ranks_hook import HangingRanksHook
from flmm.engine.loops import EpochBasedTrainLoop, IterBasedTrainLoop
from flmm.engine.optim_constructor import DefaultOptimWrapperConstructor
from flmm.engine.plain_checkpoint_hook import PlainCheckpointHook
from flmm.engine.random_state_hook import RandomStateHook
from flmm.engine.runner import GroundingRunner
from flmm.engine.schedulers import (
    ConstantLR,
    ConstantMomentum,
    ConstantParamScheduler,
    LinearLR,
    LinearMomentum,
    LinearParamScheduler,
    WarmupCosineLR,
)
from flmm.engine.skipped_items_hook import SkippedItemsHook
from flmm.engine.stop_signals import StopHook
from flmm.engine.table_logger_hook import TableLoggerHook
from flmm.engine.throughput_hook import ThroughputHook
from flmm.engine.validation_pictures_hook import ValidationPicturesHook
from flmm.engine.validation_record_hook import ValidationRecordHook
from flmm.engine.vis_backends import LocalVisBackend, TensorboardVisBackend, WandbVisBackend
from flmm.engine.visualization_hook import VisualizationHook
from flmm.engine.visualizer import Visualizer

__all__ = [
    'CalibrateExistenceHook',
    'CheckpointHook',
    'ConstantLR',
    'ConstantMomentum',
    'ConstantParamScheduler',
    'DefaultOptimWrapperConstructor',
    'EpochBasedTrainLoop',
    'FiniteCheckHook',
    'FiniteCheckpointHook',
    'FrozenPartsHook',
    'GroundingRunner',
    'HangingRanksHook',
    'IterBasedTrainLoop',
    'LinearLR',
    'LinearMomentum',
    'LinearParamScheduler',
    'LocalVisBackend',
    'PlainCheckpointHook',
    'RandomStateHook',
    'SkippedItemsHook',
    'StopHook',
    'TableLoggerHook',
    'TensorboardVisBackend',
    'ThroughputHook',
    'ValidationPicturesHook',
    'ValidationRecordHook',
    'VisualizationHook',
    'Visualizer',
    'WandbVisBackend',
    'WarmupCosineLR',
    'check_config_keys',
]
