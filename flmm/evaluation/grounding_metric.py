"""The metrics of flmm.scoring, while a model runs: training's validation and tools/test.py."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from mmengine.evaluator import BaseMetric

from flmm.clip_sample import ClipSample
from flmm.evaluation.grounded_frames import pictures_of
from flmm.phrase_scores import phrase_scores
from flmm.registry import METRICS
from flmm.scoring import PhraseScore, grounding_metrics
from flmm.structures import GroundingSample

Sample = TypeVar('Sample', GroundingSample, ClipSample)


def samples_by_item(data_samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """Group a batch by the item of the dataset that its samples come from; one item may have been split into several.

    A metric stores one result for each item: mmengine cuts the gathered results to the number of items, which is how it
    drops those that a distributed sampler repeats.
    """
    for _, samples in itertools.groupby(data_samples, key=lambda sample: (sample.dataset_name, sample.sample_idx)):
        yield list(samples)


@METRICS.register_module()
class GroundingMetric(BaseMetric):
    """All metrics of :func:`flmm.scoring.grounding_metrics`, in percent, by test set, refined and coarse.

    The first key is the refined mIoU of the first test set, or its gIoU where no phrase has a target:
    ``save_best='auto'`` of mmengine's CheckpointHook takes the first.

    A test set's name says which protocol it follows: the first sentence of each object, all objects of an image in one
    forward (F-LMM), or every sentence on its own (LISA, GLaMM).

    Args:
        num_bootstrap: number of draws for the 95 % interval of each metric; 0 for none.
        collect_device: 'cpu' or 'gpu', as in every mmengine metric.
        prefix: put before each key, as in every mmengine metric.

    >>> test_evaluator = dict(type='GroundingMetric', num_bootstrap=1000)
    """

    def __init__(self, *, num_bootstrap: int = 0, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.num_bootstrap = num_bootstrap

    def process(self, data_batch: dict, data_samples: Sequence[GroundingSample | ClipSample]) -> None:
        """Score a batch: a result for each item of the dataset."""
        for samples in samples_by_item(pictures_of(data_samples)):
            self.results.append([score for sample in samples for score in phrase_scores(sample)])

    def compute_metrics(self, results: list[list[PhraseScore]]) -> dict[str, float]:
        """Return the metrics, in percent."""
        return grounding_metrics(list(itertools.chain.from_iterable(results)), num_bootstrap=self.num_bootstrap)
