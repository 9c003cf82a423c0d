"""flmm's registries, children of mmengine's: configs say ``default_scope = 'flmm'`` and name upstream types by scope.

``dict(type='RefCOCO2PNG')`` is ours, ``dict(type='mmdet.DiceLoss')`` is mmdet's, and what neither has, such as
``dict(type='DefaultSampler')``, is mmengine's. Each registry imports the package that its types live in on the first
build, so no config needs ``custom_imports``.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry

Registered = TypeVar('Registered')


class _Registry(Registry):
    """mmengine's; to a type checker, a class keeps its type when it is registered, so that calls of it are checked."""

    if TYPE_CHECKING:

        def register_module(
            self,
            name: str | list[str] | None = None,
            force: bool = False,  # noqa: FBT001, FBT002 (mmengine's signature)
        ) -> Callable[[Registered], Registered]: ...


def _child_of(parent: Registry, *locations: str) -> _Registry:
    return _Registry(parent.name, parent=parent, scope='flmm', locations=list(locations))


DATASETS = _child_of(mmengine_registry.DATASETS, 'flmm.datasets', 'flmm.features')
TRANSFORMS = _child_of(mmengine_registry.TRANSFORMS, 'flmm.datasets')
FUNCTIONS = _child_of(mmengine_registry.FUNCTIONS, 'flmm.datasets')
DATA_SAMPLERS = _child_of(mmengine_registry.DATA_SAMPLERS, 'flmm.datasets')
MODELS = _child_of(mmengine_registry.MODELS, 'flmm.models')
METRICS = _child_of(mmengine_registry.METRICS, 'flmm.evaluation')
HOOKS = _child_of(mmengine_registry.HOOKS, 'flmm.engine')
LOOPS = _child_of(mmengine_registry.LOOPS, 'flmm.engine')
PARAM_SCHEDULERS = _child_of(mmengine_registry.PARAM_SCHEDULERS, 'flmm.engine')
RUNNERS = _child_of(mmengine_registry.RUNNERS, 'flmm.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child_of(mmengine_registry.OPTIM_WRAPPER_CONSTRUCTORS, 'flmm.engine')
VISBACKENDS = _child_of(mmengine_registry.VISBACKENDS, 'flmm.engine')
VISUALIZERS = _child_of(mmengine_registry.VISUALIZERS, 'flmm.engine')

# Nothing of ours is in these yet; mmengine looks for a default scope's child in each registry that it builds from.
EVALUATOR = _child_of(mmengine_registry.EVALUATOR)
LOG_PROCESSORS = _child_of(mmengine_registry.LOG_PROCESSORS)
MODEL_WRAPPERS = _child_of(mmengine_registry.MODEL_WRAPPERS)
OPTIMIZERS = _child_of(mmengine_registry.OPTIMIZERS)
OPTIM_WRAPPERS = _child_of(mmengine_registry.OPTIM_WRAPPERS)


def is_type(config: Mapping[str, Any], cls: type) -> bool:
    """Whether a config builds ``cls``: its type is the class, or names it, with or without a scope."""
    named = config.get('type')
    return named is cls or (isinstance(named, str) and named.rpartition('.')[2] == cls.__name__)
