"""cIoU and mIoU of coarse and refined masks, for each test set, protocol and kind of expression."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from mmdet.evaluation import RefSegMetric

from flmm.phrase_scores import PhraseScore, phrase_scores
from flmm.registry import METRICS
from flmm.structures import GroundingSample


def samples_by_item(data_samples: Sequence[GroundingSample]) -> Iterator[list[GroundingSample]]:
    """Group a batch by the item of the dataset that its samples come from; one item may have been split into several.

    A metric stores one result for each item: mmengine cuts the gathered results to the number of items, which is how it
    drops those that a distributed sampler repeats.
    """
    for _, samples in itertools.groupby(data_samples, key=lambda sample: (sample.dataset_name, sample.sample_idx)):
        yield list(samples)


@METRICS.register_module()
class GroundingMetric(RefSegMetric):
    """mmdet's RefSegMetric (cIoU: summed intersections over summed unions; mIoU: mean over phrases), in percent.

    Keys are ``<dataset_name>/<coarse|refined>/<cIoU|mIoU>``, and ``.../mIoU/<kind>`` where the dataset names the kinds
    of its expressions. The first key is the refined mIoU of the first test set: ``save_best='auto'`` of mmengine's
    CheckpointHook takes the first. cIoU is nan where no mask, predicted or true, has a pixel.

    A dataset's name says which protocol it follows: the first sentence of each ref, all refs of an image in one forward
    (F-LMM), or every sentence on its own (LISA, GLaMM).
    """

    def process(self, data_batch: dict, data_samples: Sequence[GroundingSample]) -> None:
        """Score a batch: a result for each item of the dataset."""
        for samples in samples_by_item(data_samples):
            self.results.append([score for sample in samples for score in phrase_scores(sample)])

    def compute_metrics(self, results: list[list[PhraseScore]]) -> dict[str, float]:
        """Return the metrics, in percent."""
        scores = list(itertools.chain.from_iterable(results))
        metrics = {}
        for (name,), dataset_scores in _grouped(scores, 'dataset_name'):
            percent = {source: self._percent(members) for (source,), members in _grouped(dataset_scores, 'source')}
            for source, metric in itertools.product(('refined', 'coarse'), ('mIoU', 'cIoU')):  # the best one first
                if metric in self.metrics:
                    metrics[f'{name}/{source}/{metric}'] = percent[source][metric]
        named = [score for score in scores if score.kind is not None] if 'mIoU' in self.metrics else []
        for (name, source, kind), members in sorted(_grouped(named, 'dataset_name', 'source', 'kind')):
            metrics[f'{name}/{source}/mIoU/{kind}'] = self._percent(members)['mIoU']
        return metrics

    def _percent(self, scores: list[PhraseScore]) -> dict[str, float]:
        # numpy's integers: where no mask has a pixel, cIoU is nan, not a ZeroDivisionError
        rows = [(np.int64(score.intersection), np.int64(score.union), score.iou, 1) for score in scores]
        with np.errstate(invalid='ignore'):
            return {metric: float(value) for metric, value in super().compute_metrics(rows).items()}


def _grouped(scores: list[PhraseScore], *fields: str) -> list[tuple[tuple, list[PhraseScore]]]:
    groups: dict[tuple, list[PhraseScore]] = {}
    for score in scores:
        groups.setdefault(tuple(getattr(score, field) for field in fields), []).append(score)
    return list(groups.items())
