"""The threshold from which on a phrase counts as being in the image is chosen on validation data, and saved."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from torch import Tensor

from flmm.engine.loops import IterBasedTrainLoop
from flmm.engine.random_state import random_state, set_random_state
from flmm.engine.runner import unwrapped_model
from flmm.engine.stop_signals import stop_if_asked
from flmm.evaluation.grounding_metric import samples_by_item
from flmm.models import GroundingModel
from flmm.registry import HOOKS


@HOOKS.register_module()
class CalibrateExistenceHook(Hook):
    """Sets ``existence_head.threshold`` so that the lower of N-acc and T-acc on validation data is as high as can be.

    N-acc is the share of phrases without a target that are judged to be absent, T-acc the share of those with a target
    that are not (:func:`best_threshold`). The threshold is the same in every process. It lies in checkpoints, so
    tools/test.py finds what validation reported of the same epoch.

    It runs once more over the validation data, without making masks: after each epoch, before its checkpoint is
    written; where training counts iterations, before each validation and at the end. With EMAHook the averaged model is
    what is calibrated, as it is what is validated and saved.
    """

    priority = 'LOW'  # after EMAHook, before CheckpointHook

    def before_train(self, runner: Runner) -> None:
        """Look at what is needed before time is spent: validation data are read until both sorts of phrases are seen.

        Raises:
            ValueError: the model has no existence head, the run no validation data, or these lack phrases with a target
                or phrases without one.
        """
        if unwrapped_model(runner).existence_head is None:
            raise ValueError(
                'CalibrateExistenceHook has no threshold to set: the model judges no existence; add '
                "existence=dict(type='ExistenceHead') to it, or leave the hook out"
            )
        if runner.val_loop is None:
            raise ValueError('CalibrateExistenceHook chooses the threshold on val_dataloader, which the config lacks')
        kept, sorts = random_state(), set()  # training starts as if this had not been
        for batch in runner.val_loop.dataloader:
            sorts |= {bool(there) for sample in batch['data_samples'] for there in sample.has_target}
            if len(sorts) == 2:
                break
        set_random_state(kept)
        _check_both_sorts(set().union(*all_gather_object(sorts)), whose=_data_name(runner))

    def after_train_epoch(self, runner: Runner) -> None:
        """Calibrate after an epoch."""
        if not isinstance(runner.train_loop, IterBasedTrainLoop):  # to which the whole run is one epoch
            self._calibrate(runner, num_iters=runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Calibrate where validation follows, in a run that counts iterations."""
        loop = runner.train_loop
        if isinstance(loop, IterBasedTrainLoop) and (
            self.every_n_train_iters(runner, loop.val_interval) or self.is_last_train_iter(runner)
        ):
            self._calibrate(runner, num_iters=runner.iter + 1)

    def _calibrate(self, runner: Runner, *, num_iters: int) -> None:
        models = [
            unwrapped_model(runner),
            *(hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook)),
        ]
        kept = random_state()  # training goes on as if this had not been
        stop = partial(stop_if_asked, runner, num_iters=num_iters, before=partial(set_random_state, kept))
        scores, has_target = _judged(models[-1], runner, after_batch=stop)
        set_random_state(kept)
        threshold, n_acc, t_acc = best_threshold(scores, has_target, whose=_data_name(runner))
        for model in models:
            model.existence_head.threshold.fill_(threshold)
        runner.logger.info(
            f'existence: threshold {threshold:.4f}, N-acc {100 * n_acc:.1f} and T-acc {100 * t_acc:.1f} on '
            f'{len(scores)} phrases of the validation data'
        )


def best_threshold(scores: Tensor, has_target: Tensor, *, whose: str) -> tuple[float, float, float]:
    """Choose the threshold from which on (``>=``) scores mean that there is a target.

    Candidates are the lowest score, by which every phrase has a target, and the midpoints between neighbouring scores.
    The one with the largest minimum of N-acc and T-acc is taken, of equal ones that with the larger mean, then the
    first. The largest mean alone is reached far from balance where few phrases decide it.

    Args:
        scores: [P] float32, of phrases.
        has_target: [P] bool, the truth.
        whose: names the data in messages.

    Returns:
        The threshold, and its N-acc and T-acc, 0 to 1.

    Raises:
        ValueError: all phrases have a target, or none has.

    >>> best_threshold(torch.tensor([0.1, 0.4, 0.6]), torch.tensor([False, True, True]), whose='val')
    (0.25, 1.0, 1.0)
    """
    _check_both_sorts(set(has_target.tolist()), whose=whose)
    distinct, index = scores.unique(return_inverse=True)  # ascending
    of_present = torch.bincount(index[has_target], minlength=len(distinct))
    of_absent = torch.bincount(index[~has_target], minlength=len(distinct))
    # With the k-th distinct score and all above it on the side of the targets:
    n_acc = (of_absent.cumsum(0) - of_absent).double() / of_absent.sum()
    t_acc = 1 - (of_present.cumsum(0) - of_present).double() / of_present.sum()
    lower = torch.minimum(n_acc, t_acc)
    best = int(torch.where(lower == lower.max(), n_acc + t_acc, -1).argmax())  # of equal ones the first
    threshold = distinct[best]
    if best > 0:
        middle = (distinct[best - 1] + distinct[best]) / 2
        threshold = middle if middle > distinct[best - 1] else threshold  # there may be no number between them
    return float(threshold), float(n_acc[best]), float(t_acc[best])


def _check_both_sorts(sorts: set[bool], *, whose: str) -> None:
    if sorts != {False, True}:
        raise ValueError(
            f'{"every" if True in sorts else "no"} phrase of {whose} has a target, so no threshold of existence can be '
            'chosen on them; validate on data with both sorts, such as gRefCOCO, or leave CalibrateExistenceHook out'
        )


def _data_name(runner: Runner) -> str:
    return type(runner.val_loop.dataloader.dataset).__name__


@torch.no_grad()
def _judged(model: GroundingModel, runner: Runner, *, after_batch: Callable[[], None]) -> tuple[Tensor, Tensor]:
    """Return the existence of all phrases of the validation data, and whether they have a target, in every process."""
    loader, was_training = runner.val_loop.dataloader, model.training
    model.eval()
    found = []
    for batch in loader:
        with torch.autocast(model.data_preprocessor.device.type, enabled=runner.val_loop.fp16):
            samples = model.data_preprocessor(batch)['data_samples']
            judged = [
                sample.with_outputs(existence=existence)
                for sample, existence in zip(samples, model.judge(samples), strict=True)
            ]
        found += [
            [
                (float(p), bool(t))
                for sample in members
                for p, t in zip(sample.existence, sample.has_target, strict=True)
            ]
            for members in samples_by_item(judged)
        ]
        after_batch()
    model.train(was_training)
    # Samplers deal items out in turn and repeat some at the end, so that each process gets as many.
    in_order = itertools.chain.from_iterable(zip(*all_gather_object(found), strict=True))
    pairs = [pair for item in itertools.islice(in_order, len(loader.dataset)) for pair in item]
    scores, has_target = zip(*pairs, strict=True)
    return torch.tensor(scores), torch.tensor(has_target)
