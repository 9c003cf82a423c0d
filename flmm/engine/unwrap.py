"""The model behind a distributed wrapper."""

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from flmm.models import FrozenLMM


def unwrapped_model(runner: Runner) -> FrozenLMM:
    """Return the runner's model, without DistributedDataParallel around it."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
