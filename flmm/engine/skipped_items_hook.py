"""Training counts the items that were left out of its batches, says which, and stops when they are too many."""

import itertools
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm.registry import HOOKS

NUM_SHOWN = 3
"""How many items the error names."""


@HOOKS.register_module()
class SkippedItemsHook(Hook):
    """Counts what a dataset with ``max_skipped`` leaves out (:class:`flmm.datasets.GroundingDataset`).

    The log says the reason of each item when it is first left out, and their number at the end of each pass through the
    data. All processes know the count of all at each iteration, so they end together when it is above the share of the
    dataset's items that ``max_skipped`` allows in a pass. A resumed run goes on counting.

    A batch of which nothing is left has a gradient of 0 in its process (:func:`flmm.models.losses.empty_loss`), and no
    loss in the log.
    """

    priority = 'HIGHEST'  # before the loss is logged

    def __init__(self) -> None:
        self._num_skipped = 0
        self._first: list[str] = []
        self._said: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Read how many items may be left out."""
        dataset = runner.train_dataloader.dataset
        self._num_items = len(dataset)
        self._share = _max_skipped(dataset)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict[str, list]) -> None:
        """Count the items that the batches of all processes lack, and take their reasons out of the batch.

        Raises:
            ValueError: there are too many; the message names the first.
        """
        if not self._share:
            return
        if runner.train_loop.passes.num_done == 1:
            self._num_skipped, self._first = 0, []
        own = data_batch.pop('skipped_items', [])
        count = torch.tensor(len(own))
        all_reduce(count)
        if not count:
            return
        reasons = list(itertools.chain.from_iterable(all_gather_object(own)))
        self._num_skipped += len(reasons)
        self._first = [*self._first, *reasons][:NUM_SHOWN]
        for reason in reasons:
            if reason not in self._said:
                runner.logger.warning(f'an item is left out: {reason}')
                self._said.add(reason)
        if self._num_skipped > self._share * self._num_items:
            raise ValueError(
                f'{self._num_skipped} of {self._num_items} items had to be left out, more than '
                f'max_skipped={self._share} allows ({"; ".join(self._first)}); mend them (tools/check_data.py lists '
                'all), or raise max_skipped'
            )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict[str, list], outputs: dict[str, Any]
    ) -> None:
        """Keep the loss of an empty batch out of the log, and log the count at the end of a pass."""
        if not data_batch['data_samples']:
            outputs.clear()
        passes = runner.train_loop.passes
        if self._num_skipped and passes.num_done == len(passes.loader):
            runner.logger.warning(
                f'{self._num_skipped} of {self._num_items} items were left out of this pass through the data '
                f'(max_skipped={self._share})'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Store the count of the present pass."""
        checkpoint['meta']['skipped_items'] = {'count': self._num_skipped, 'first': self._first}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Go on with the count of the pass that is resumed."""
        stored = checkpoint.get('meta', {}).get('skipped_items')
        if runner._resume and stored:
            self._num_skipped, self._first = stored['count'], stored['first']


def _max_skipped(dataset: Any) -> float:
    """Find the setting, also where mmengine's RepeatDataset or ClassBalancedDataset stands around the dataset."""
    while not hasattr(dataset, 'max_skipped') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return getattr(dataset, 'max_skipped', 0.0)
