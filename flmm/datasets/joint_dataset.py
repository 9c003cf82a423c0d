"""Several datasets as one, read through one pipeline: RefCOCO and PNG together, as F-LMM trains."""

import collections
from collections.abc import Sequence
from typing import Any

from mmengine.dataset import BaseDataset, ConcatDataset

from flmm.registry import DATASETS


@DATASETS.register_module()
class JointDataset(ConcatDataset):
    """mmengine's ConcatDataset, whose parts share a pipeline, so that a config states it once.

    Args:
        datasets: the parts, or their configs.
        pipeline: given to each part that is a config and has none of its own. None where all have one.
        max_skipped: the share of all items that training may leave out
            (:class:`flmm.datasets.GroundingDataset`); given to each part that is a config.

    Raises:
        ValueError: there is no part, two have one name, under which their results would be mixed, or one has another
            ``max_skipped``.

    >>> dataset = dict(type='JointDataset', datasets=[dict(type='RefCocoDataset', ...), dict(type='PNGDataset', ...)])
    """

    def __init__(
        self,
        *,
        datasets: Sequence[BaseDataset | dict],
        pipeline: Sequence[dict] | None = None,
        max_skipped: float = 0.0,
    ) -> None:
        if not datasets:
            raise ValueError('datasets is empty; give one part at least')
        shared: dict[str, Any] = {'pipeline': pipeline} if pipeline is not None else {}
        if max_skipped:
            shared['max_skipped'] = max_skipped
        super().__init__([{**shared, **part} if isinstance(part, dict) else part for part in datasets])
        for part in self.datasets:
            if getattr(part, 'max_skipped', max_skipped) != max_skipped:
                raise ValueError(
                    f'a part of datasets has max_skipped={part.max_skipped}, all together {max_skipped}; set it for '
                    'all together, beside datasets'
                )
        self.max_skipped = max_skipped
        repeated = [name for name, count in collections.Counter(self.names).items() if count > 1]
        if repeated:
            raise ValueError(
                f'several parts of datasets have the name {repeated[0]!r}, under which their results would be mixed; '
                'give each a name of its own'
            )

    @property
    def names(self) -> list[str]:
        """The names by which results are reported, of all parts that have any."""
        return [name for part in self.datasets for name in getattr(part, 'names', ())]

    def num_image_tokens(self) -> list[int]:
        """How many image tokens each item has; see :meth:`flmm.datasets.GroundingDataset.num_image_tokens`."""
        return [count for part in self.datasets for count in part.num_image_tokens()]
