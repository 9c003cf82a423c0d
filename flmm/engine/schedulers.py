"""Schedules that reach the base value, of rate or momentum, however short a run is."""

import math
from typing import Any, NoReturn

from mmengine.optim import scheduler
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler
from torch.optim import Optimizer

from flmm.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(LRSchedulerMixin, _ParamScheduler):
    """Linear warm-up, then a half cosine to zero (Loshchilov and Hutter, "SGDR", 2017), over a whole run.

    Of T iterations, the first W = min(round(warmup * T), T - 1) warm up. At iteration t the rate is the base rate times
    ``start_factor + (1 - start_factor) * t / W`` where t < W, else times ``(1 + cos(pi * (t - W) / (T - W))) / 2``: the
    base rate at t = W, which every run has. T comes from the config's ``train_cfg``, of epochs or of iterations.

    Args:
        optimizer: the optimizer, or mmengine's wrapper of it.
        end: T; mmengine fills in the number of iterations of the train loop.
        by_epoch: False, so that mmengine fills in iterations, not epochs.
        warmup: share of the run that warms up, from 0 to below 1.
        start_factor: share of the base rate at the first iteration of the warm-up, from 0 to 1.
        last_step: number of the last step, as every scheduler of mmengine takes it.
        verbose: print each new rate.

    Raises:
        ValueError: a number out of its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        end: int,
        by_epoch: bool,
        warmup: float = 0.03,
        start_factor: float = 1e-5,
        last_step: int = -1,
        verbose: bool = False,
    ) -> None:
        if by_epoch:
            raise ValueError('WarmupCosineLR counts iterations: set by_epoch=False')
        if not 0 <= warmup < 1 or not 0 <= start_factor <= 1:
            raise ValueError(
                f'warmup is {warmup}, expected 0 to below 1; start_factor is {start_factor}, expected 0 to 1'
            )
        self.num_warmup = min(round(warmup * end), end - 1)
        self.start_factor = start_factor
        super().__init__(optimizer, end=end, by_epoch=False, last_step=last_step, verbose=verbose)

    @classmethod
    def build_iter_from_epoch(cls, *_: Any, **__: Any) -> NoReturn:
        """Refuse ``convert_to_iter_based``: there are no epochs to convert."""
        raise ValueError('WarmupCosineLR counts iterations: set by_epoch=False, without convert_to_iter_based')

    def _get_value(self) -> list[float]:
        if self.last_step < self.num_warmup:
            factor = self.start_factor + (1 - self.start_factor) * self.last_step / self.num_warmup
        else:
            done = (self.last_step - self.num_warmup) / (self.end - self.num_warmup)
            factor = (1 + math.cos(math.pi * done)) / 2
        return [base * factor for base in self.base_values]


class _ReachesBase:
    """A scheduler over a single step takes its final value; mmengine's would keep its first one for the whole run."""

    @classmethod
    def build_iter_from_epoch(
        cls, *args: Any, epoch_length: int, begin: float = 0, end: float = INF, **kwargs: Any
    ) -> '_ReachesBase':
        """Build it from numbers of epochs. What rounds to no iteration is one; mmengine would refuse it."""
        if begin < end:
            end = max(end, (int(begin * epoch_length) + 1.5) / epoch_length)
        return super().build_iter_from_epoch(*args, epoch_length=epoch_length, begin=begin, end=end, **kwargs)

    def _get_value(self) -> list[float]:
        if self.total_iters == 0:
            return [group[self.param_name] * getattr(self, 'end_factor', 1.0) for group in self.optimizer.param_groups]
        return super()._get_value()


def check_reaches_base(built: _ParamScheduler) -> None:
    """Refuse a scheduler of mmengine's own that would keep its first value for a whole run.

    Raises:
        ValueError: it runs over a single step, and is none of the classes of this module that mend that.
    """
    kinds = (scheduler.LinearParamScheduler, scheduler.ConstantParamScheduler)
    if isinstance(built, kinds) and built.total_iters == 0 and not isinstance(built, _ReachesBase):
        name = type(built).__name__
        raise ValueError(
            f"mmengine's {name} over the single step {built.begin} would keep the value it starts with for the whole "
            f"run; set type={name!r} without a scope, which is flmm's own"
        )


@PARAM_SCHEDULERS.register_module()
class LinearLR(_ReachesBase, scheduler.LinearLR):
    """mmengine's LinearLR, which over one step never leaves ``start_factor``; this one then takes ``end_factor``."""


@PARAM_SCHEDULERS.register_module()
class LinearMomentum(_ReachesBase, scheduler.LinearMomentum):
    """The same for momentum, or the first beta of Adam."""


@PARAM_SCHEDULERS.register_module()
class LinearParamScheduler(_ReachesBase, scheduler.LinearParamScheduler):
    """The same for any setting of the optimizer."""


@PARAM_SCHEDULERS.register_module()
class ConstantLR(_ReachesBase, scheduler.ConstantLR):
    """mmengine's ConstantLR, which over one step never takes its factor back; this one then takes none."""


@PARAM_SCHEDULERS.register_module()
class ConstantMomentum(_ReachesBase, scheduler.ConstantMomentum):
    """The same for momentum, or the first beta of Adam."""


@PARAM_SCHEDULERS.register_module()
class ConstantParamScheduler(_ReachesBase, scheduler.ConstantParamScheduler):
    """The same for any setting of the optimizer."""
