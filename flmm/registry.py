"""flmm's registries, children of mmengine's: configs say ``default_scope = 'flmm'`` and name upstream types by scope.

``dict(type='RefCOCO2PNG')`` is ours, ``dict(type='mmdet.DiceLoss')`` is mmdet's. Each registry imports the folder that
its types live in on the first build, so no config needs ``custom_imports``.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

from flmm.mmcv_ops import install_placeholder

# Any type named 'mmdet.*' is reached through these registries, so the placeholder stands before mmdet is imported.
install_placeholder()

DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, scope='flmm', locations=['flmm.datasets'])
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, scope='flmm', locations=['flmm.datasets'])
FUNCTIONS = Registry('function', parent=MMENGINE_FUNCTIONS, scope='flmm', locations=['flmm.datasets'])
MODELS = Registry('model', parent=MMENGINE_MODELS, scope='flmm', locations=['flmm.models'])
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope='flmm', locations=['flmm.evaluation'])
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='flmm', locations=['flmm.engine'])
