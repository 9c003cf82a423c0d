"""What flmm adds to mmengine's training loop."""

from flmm.engine.config_check import check_config_keys, check_stored_features
from flmm.engine.plain_checkpoint_hook import PlainCheckpointHook
from flmm.engine.random_state_hook import RandomStateHook
from flmm.engine.visualization_hook import VisualizationHook

__all__ = ['PlainCheckpointHook', 'RandomStateHook', 'VisualizationHook', 'check_config_keys', 'check_stored_features']
