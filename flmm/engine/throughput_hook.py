"""How fast a training goes, and on how many tokens: for the log and every backend of the visualizer."""

import resource
import sys
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.evaluation.grounding_metric import samples_by_item
from flmm.registry import HOOKS
from flmm.structures import GroundingSample

MAXRSS_UNIT = 1 if sys.platform == 'darwin' else 1024
"""Bytes in the unit of ``getrusage``."""


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Adds to the scalars of training, beside mmengine's ``time``, ``data_time`` and, on a GPU, ``memory``.

    - ``images_per_s`` and ``phrases_per_s``, of all processes together. ``time`` includes waiting for data.
    - ``kept_tokens``, 0 to 1: the image tokens that the LMM reads, as a share of those that it would read without
      adaptive patches. All processes together, all views of an image.
    - ``host_memory`` in MiB: the most that this process has held so far, without its data workers.

    The first three are stored as a sum and what it is divided by, so that ``mean`` over a window, which
    ``log_processor.mean_pattern`` of the configs asks for, is the sum over the window divided by its seconds or tokens.
    """

    priority = 'NORMAL'  # behind IterTimerHook, which comes first of the same priority, and before LoggerHook

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, list[GroundingSample]],
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Add the scalars of one step."""
        samples = data_batch['data_samples']
        layouts = [view.layout for sample in samples for view in sample.views]
        counts = [
            sum(1 for _ in samples_by_item(samples)),
            sum(sample.num_masks for sample in samples),
            sum(len(layout) for layout in layouts),
            sum(layout.grid_size[0] * layout.grid_size[1] for layout in layouts),
        ]
        totals = torch.tensor(counts, dtype=torch.float64)
        all_reduce(totals)
        images, phrases, kept, dense = totals.tolist()
        hub = runner.message_hub
        microseconds = max(1, round(1e6 * float(hub.get_scalar('train/time').current())))  # mmengine counts in integers
        hub.update_scalar('train/images_per_s', 1e6 * images, count=microseconds)
        hub.update_scalar('train/phrases_per_s', 1e6 * phrases, count=microseconds)
        if dense:  # of a step whose items were all left out there is no share
            hub.update_scalar('train/kept_tokens', kept, count=int(dense))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
        hub.update_scalar('train/host_memory', peak / 2**20)
