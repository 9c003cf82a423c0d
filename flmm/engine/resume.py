"""Optimizers and schedules of a resumed run: what was reached is the checkpoint's, how to go on is the config's."""

from collections.abc import Iterator
from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

REACHED = {'last_step', '_global_step', '_last_value', 'best', 'num_bad_epochs', 'cooldown_counter'}
"""What a scheduler's state dict says of how far it has come; the rest are its settings."""


def resume_optimizers(optim_wrapper: OptimWrapper, stored: dict[str, Any]) -> list[str]:
    """Load the state of the optimizers, and keep the settings that the config has given them.

    Args:
        optim_wrapper: what the config has built.
        stored: what ``optim_wrapper.state_dict()`` was in the run that goes on.

    Returns:
        A line for each setting that differs from the stored one.

    Raises:
        ValueError: the stored state is of another kind of optimizer, or of other groups of parameters.
    """
    wrappers = list(optim_wrapper.values()) if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]
    settings = [
        [{key: value for key, value in group.items() if key != 'params'} for group in wrapper.param_groups]
        for wrapper in wrappers
    ]
    states = list(stored.values()) if isinstance(optim_wrapper, OptimWrapperDict) else [stored]
    for wrapper, state in zip(wrappers, states, strict=True):
        _check_same_optimizer(wrapper.optimizer.param_groups, state['param_groups'])
    optim_wrapper.load_state_dict(stored)
    changes = []
    for wrapper, groups in zip(wrappers, settings, strict=True):
        for group, own in zip(wrapper.param_groups, groups, strict=True):
            # What is scheduled differs anyway; its initial value tells whether the config has changed it.
            scheduled = {key for key in own if f'initial_{key}' in own}
            if 'momentum' in scheduled:
                scheduled.add('betas')  # mmengine schedules the first of them by this name
            compared = {key: value for key, value in own.items() if key not in scheduled}
            changes += differences('optimizer', group, compared)
            group.update(own)
    return list(dict.fromkeys(changes))  # a group for each parameter is usual


def _check_same_optimizer(own: list[dict[str, Any]], stored: list[dict[str, Any]]) -> None:
    if len(own) != len(stored):
        raise ValueError(
            f'the checkpoint has the state of {len(stored)} groups of parameters, this optimizer has {len(own)}: '
            'restore paramwise_cfg, or the version of flmm that wrote it (0.1 trained what no gradient reaches), or '
            'start a new run from the weights (load_from)'
        )
    here, there = set(own[0]), set(stored[0])
    if here - there and there - here:  # a version of PyTorch or a schedule may add some to either, not to both
        raise ValueError(
            f'the checkpoint has the state of another optimizer: it has {sorted(there - here)}, this one has '
            f'{sorted(here - there)}; restore it, or start a new run from the weights (load_from)'
        )


def resume_schedulers(
    schedulers: dict[str, list[_ParamScheduler]] | list[_ParamScheduler],
    stored: dict[str, list[dict]] | list[dict],
    *,
    num_iters: int,
    num_epochs: int,
    epoch_length: int,
) -> list[str]:
    """Play the schedulers through to where the run was, so that their values are those of an uninterrupted run.

    Args:
        schedulers: what the config has built, for each optimizer or for the only one; the optimizers have the values
            of a run's start.
        stored: their state dicts in the run that goes on.
        num_iters: iterations done.
        num_epochs: epochs done.
        epoch_length: iterations of an epoch.

    Returns:
        A line for each setting that differs from the stored one.

    Raises:
        ValueError: a scheduler follows the validation (ReduceOnPlateauLR), so it cannot be played through.
    """
    pairs = list(_pairs(schedulers, stored))
    following = [type(scheduler).__name__ for scheduler, _ in pairs if getattr(scheduler, 'need_val_args', False)]
    if following:
        raise ValueError(
            f'{following[0]} follows the validation, so it cannot be played through, and a run with it cannot be '
            'resumed; start a new one from its weights (load_from)'
        )
    changes = []
    for scheduler, state in pairs:
        own = {
            key: value
            for key, value in scheduler.state_dict().items()
            if key not in REACHED and not callable(value)  # no checkpoint holds a function
        }
        changes += differences(type(scheduler).__name__, state, own)
        scheduler.optimizer._global_step = num_iters  # it has stepped, even if not here: mmengine would warn
    for iteration in range(1, num_iters + 1):
        for scheduler, _ in pairs:
            if not scheduler.by_epoch:
                scheduler.step()
        if iteration % epoch_length == 0 and iteration <= num_epochs * epoch_length:
            for scheduler, _ in pairs:
                if scheduler.by_epoch:
                    scheduler.step()
    return changes


def differences(name: str, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Say which values of ``now`` differ from those of ``before``, a line each."""
    return [f'{name}: {key} was {before.get(key)}, is {now[key]}' for key in now if before.get(key) != now[key]]


def _pairs(schedulers: Any, stored: Any) -> Iterator[tuple[_ParamScheduler, dict]]:
    names = list(schedulers) if isinstance(schedulers, dict) else [None]
    for name in names:
        own, states = (schedulers, stored) if name is None else (schedulers[name], stored.get(name, []))
        for index, scheduler in enumerate(own):
            yield scheduler, states[index] if index < len(states) else {}
