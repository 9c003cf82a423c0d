"""cIoU and mIoU of coarse and refined masks, for each test set, protocol and kind of expression."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from mmdet.evaluation import RefSegMetric
from torch import Tensor

from flmm.registry import METRICS
from flmm.structures import GroundingSample

SOURCES = {'coarse': 'pred_masks', 'refined': 'sam_pred_masks'}
"""Name in the results -> field of GroundingSample."""


@dataclass(frozen=True)
class PhraseScore:
    """How one predicted mask met its truth: pixels in both masks, pixels in either."""

    dataset_name: str
    source: str
    kind: str | None
    intersection: int
    union: int

    @property
    def iou(self) -> float:
        """Intersection over union; 0 where both masks are empty, as in mmdet."""
        return self.intersection / self.union if self.union else 0.0


def phrase_scores(sample: GroundingSample) -> Iterator[PhraseScore]:
    """Score the coarse and the refined mask of each phrase of a predicted sample; logits above 0 are foreground.

    Raises:
        ValueError: the sample's truth is not known.
    """
    if sample.gt_masks is None:
        raise ValueError(
            f'image {sample.image_path!r} of {sample.dataset_name!r} has no truth masks, so its predictions have no '
            'score; load the masks (LoadMasks in the pipeline), or leave metrics out'
        )
    kinds = sample.phrase_kinds or [None] * sample.num_masks
    for source, field in SOURCES.items():
        predicted = getattr(sample, field) > 0
        areas = (_areas(predicted & sample.gt_masks), _areas(predicted | sample.gt_masks))
        for kind, intersection, union in zip(kinds, *areas, strict=True):
            yield PhraseScore(sample.dataset_name, source, kind, intersection, union)


def samples_by_item(data_samples: Sequence[GroundingSample]) -> Iterator[list[GroundingSample]]:
    """Group a batch by the item of the dataset that its samples come from; one item may have been split into several.

    A metric stores one result for each item: mmengine cuts the gathered results to the number of items, which is how it
    drops those that a distributed sampler repeats.
    """
    for _, samples in itertools.groupby(data_samples, key=lambda sample: (sample.dataset_name, sample.sample_idx)):
        yield list(samples)


def _areas(masks: Tensor) -> list[int]:
    return masks.flatten(1).sum(dim=1).tolist()


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
        for (name,), of_name in _grouped(scores, 'dataset_name'):
            percent = {source: self._percent(members) for (source,), members in _grouped(of_name, 'source')}
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
