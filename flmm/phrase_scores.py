"""How one predicted mask meets its truth: what metrics count and pictures print."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from flmm.structures import GroundingSample

SOURCES = {'coarse': 'coarse_masks', 'refined': 'refined_masks'}
"""Name in the results -> masks of GroundingSample."""


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
    """Score the coarse and the refined mask of each phrase of a predicted sample.

    Raises:
        ValueError: the sample's truth is not known.
    """
    if sample.gt_masks is None:
        raise ValueError(
            f'image {sample.image_path!r} of {sample.dataset_name!r} has no truth masks, so its predictions have no '
            'score; load the masks (LoadMasks in the pipeline), or leave metrics out'
        )
    kinds = [info.kind for info in sample.phrase_infos]
    for source, field in SOURCES.items():
        predicted = getattr(sample, field)
        areas = (_areas(predicted & sample.gt_masks), _areas(predicted | sample.gt_masks))
        for kind, intersection, union in zip(kinds, *areas, strict=True):
            yield PhraseScore(sample.dataset_name, source, kind, intersection, union)


def _areas(masks: Tensor) -> list[int]:
    return masks.flatten(1).sum(dim=1).tolist()
