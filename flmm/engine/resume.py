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
        optim_wrapper: as built by the config.
        stored: what ``optim_wrapper.state_dict()`` was in the run that goes on.

    Returns:
        A line for each setting that differs from the stored one.
    """
    wrappers = list(optim_wrapper.values()) if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]
    settings = [
        [{key: value for key, value in group.items() if key != 'params'} for group in wrapper.param_groups]
        for wrapper in wrappers
    ]
    optim_wrapper.load_state_dict(stored)
    changes = []
    for wrapper, groups in zip(wrappers, settings, strict=True):
        for index, (group, own) in enumerate(zip(wrapper.param_groups, groups, strict=True)):
            # The rate itself is scheduled; 'initial_lr' tells whether the config has changed it.
            compared = {key: value for key, value in own.items() if key != 'lr' or 'initial_lr' not in own}
            changes += differences(f'optimizer group {index}', group, compared)
            group.update(own)
    return changes


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
        schedulers: as built by the config, for each optimizer or for the only one; the optimizers have the values of a
            run's start.
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
        own = {key: value for key, value in scheduler.state_dict().items() if key not in REACHED}
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
