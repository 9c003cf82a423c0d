"""What flmm adds to mmengine's training: a Runner, loops, schedules and hooks."""

from flmm.config import check_config_keys
from flmm.engine.calibrate_existence_hook import CalibrateExistenceHook
from flmm.engine.finite_check_hook import FiniteCheckHook, FiniteCheckpointHook
from flmm.engine.frozen_parts_hook import FrozenPartsHook
from flmm.engine.hanging_ranks_hook import HangingRanksHook
from flmm.engine.loops import EpochBasedTrainLoop, IterBasedTrainLoop
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
from flmm.engine.table_logger_hook import TableLoggerHook
from flmm.engine.visualization_hook import VisualizationHook

__all__ = [
    'CalibrateExistenceHook',
    'ConstantLR',
    'ConstantMomentum',
    'ConstantParamScheduler',
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
    'PlainCheckpointHook',
    'RandomStateHook',
    'SkippedItemsHook',
    'TableLoggerHook',
    'VisualizationHook',
    'WarmupCosineLR',
    'check_config_keys',
]
