"""Training stops at numbers that are not finite, before they reach the weights or a checkpoint."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from flmm.engine.runner import unwrapped_model
from flmm.models import FrozenLMM
from flmm.models.finite import NonFiniteError
from flmm.registry import HOOKS
from flmm.structures import GroundingSample


@HOOKS.register_module()
class FiniteCheckHook(Hook):
    """Skips an update whose loss or gradient is not finite, and stops training after a streak of such iterations.

    The weights stay those from before, so the last checkpoint is good. Gradient clipping would spread one nan over all
    weights.

    Args:
        max_streak: so many such iterations in a row end training; the earlier ones are logged.
    """

    priority = 'VERY_HIGH'  # before the loss is logged, and before a checkpoint is written

    def __init__(self, *, max_streak: int = 1) -> None:
        if max_streak < 1:
            raise ValueError(f'max_streak is {max_streak}, expected 1 or more')
        self.max_streak = max_streak
        self._streak = 0
        self._bad_gradient = False

    def before_train(self, runner: Runner) -> None:
        """Look at the losses, and at the gradients between their clipping and the optimizer's step."""
        unwrapped_model(runner).register_forward_hook(_spoil_gradient_of_bad_losses)
        wrapper = runner.optim_wrapper
        for each in wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]:
            each.optimizer.register_step_pre_hook(self._check_gradient)

    def _check_gradient(self, optimizer: Optimizer, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group['params'] if p.grad is not None]
        if not get_total_norm([p.grad for p in parameters]).isfinite():
            self._bad_gradient = True
            for parameter in parameters:
                parameter.grad = None  # an optimizer leaves a parameter without gradient alone, decay and moments too

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, list[GroundingSample]],
        outputs: Mapping[str, torch.Tensor],
    ) -> None:
        """Count the iteration, and stop after too many.

        Raises:
            NonFiniteError: naming the losses, the samples, the stage of the model, and the last checkpoint.
        """
        losses = {name: float(torch.as_tensor(value).detach()) for name, value in outputs.items() if 'loss' in name}
        bad_losses = {name: value for name, value in losses.items() if not math.isfinite(value)}
        if not bad_losses and not self._bad_gradient:
            self._streak = 0
            return
        self._bad_gradient = False
        self._streak += 1
        samples = data_batch['data_samples']
        names = '; '.join(f'{sample.image_path!r} with {sample.phrases}' for sample in samples)
        message = (
            f'iteration {runner.iter + 1}: the {"loss" if bad_losses else "gradient"} is not finite ({losses}), so no '
            f'weight was updated; samples: {names}'
        )
        if self._streak < self.max_streak:
            runner.logger.error(message)  # of every process: a warning is shown of the first one alone
            return
        last = (
            runner.message_hub.get_info('last_ckpt') if 'last_ckpt' in runner.message_hub.runtime_info else 'none yet'
        )
        raise NonFiniteError(f'{message}; stage: {_stage(runner, samples)}; last checkpoint: {last}')


@HOOKS.register_module()
class FiniteCheckpointHook(Hook):
    """Keeps numbers that are not finite out of checkpoints, whatever made them so."""

    priority = 'LOWEST'  # after all hooks that add to a checkpoint, such as EMAHook

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to write weights, averages or moments that are not finite.

        Raises:
            NonFiniteError: naming the keys.
        """
        bad = [name for part in ('state_dict', 'ema_state_dict', 'optimizer') for name in _non_finite(checkpoint, part)]
        if bad:
            raise NonFiniteError(
                f'{len(bad)} tensors of the checkpoint are not finite ({", ".join(bad[:3])}), so it is not written; go '
                'on from an earlier one'
            )


def _spoil_gradient_of_bad_losses(model: FrozenLMM, inputs: Any, output: Any) -> None:
    # Where a loss is not finite its gradient may be, and would be applied: by this process, or with those of others.
    for value in output.values() if isinstance(output, Mapping) else ():
        if isinstance(value, torch.Tensor) and value.requires_grad:
            finite = value.detach().isfinite()
            value.register_hook(lambda gradient, finite=finite: gradient.where(finite, torch.nan))


def _stage(runner: Runner, samples: list[GroundingSample]) -> str:
    model = unwrapped_model(runner)
    try:
        model(model.data_preprocessor({'data_samples': samples})['data_samples'], mode='predict')
    except NonFiniteError as error:
        return str(error)
    return 'the losses or their gradient; all predictions are finite'


def _non_finite(value: Any, name: Any) -> list[str]:
    """List the tensors that are not finite in ``value[name]``, at any depth."""
    value = value.get(name) if isinstance(value, Mapping) else value[name]
    if isinstance(value, torch.Tensor):
        return [] if value.isfinite().all() else [str(name)]
    keys = value if isinstance(value, Mapping) else range(len(value)) if isinstance(value, (list, tuple)) else ()
    return [f'{name}.{below}' for key in keys for below in _non_finite(value, key)]
