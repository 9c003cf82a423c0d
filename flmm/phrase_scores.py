"""How the predictions of a sample meet their truth."""

from collections.abc import Iterator

import torch
from torch import Tensor

from flmm.geometry import nonempty
from flmm.scoring import PhraseScore
from flmm.structures import GroundingSample

SOURCES = ('coarse', 'refined')
"""Masks of a sample that are scored; their names in the results."""


def phrase_scores(sample: GroundingSample) -> Iterator[PhraseScore]:
    """Score the coarse masks of a predicted sample, phrase by phrase, then the refined ones.

    Where the model judges whether a phrase means something in the image, that is what it says; where not, an empty mask
    says 'not there'.

    Raises:
        ValueError: the sample's truth is not known.
    """
    if sample.gt_masks is None:
        raise ValueError(
            f'image {sample.image_path!r} of {sample.dataset_name!r} has no truth masks, so its predictions have no '
            'score; load the masks (LoadMasks in the pipeline), or leave metrics out'
        )
    has_target = sample.has_target
    for source in SOURCES:
        verdict = sample.verdict(source)
        for which, predicted in sample.mask_chunks(source):
            truth = sample.gt_masks[which]
            ignored = None if sample.ignore_masks is None else sample.ignore_masks[which]
            found = nonempty(predicted) if verdict is None else verdict[which]  # [m]
            rows = zip(
                sample.phrase_infos[which],
                _areas(predicted & truth, ignored),
                _areas(predicted | truth, ignored),
                has_target[which].tolist(),
                found.tolist(),
                strict=True,
            )
            for info, intersection, union, is_there, is_found in rows:
                yield PhraseScore(
                    dataset_name=sample.dataset_name,
                    source=source,
                    image=sample.image_path,
                    info=info,
                    intersection=intersection,
                    union=union,
                    has_target=is_there,
                    says_absent=not is_found,
                )


def _areas(masks: Tensor, ignore_masks: Tensor | None) -> list[int]:
    counted = masks if ignore_masks is None else masks & ~ignore_masks
    return counted.flatten(1).sum(dim=1, dtype=torch.int32).tolist()  # a third of the time of int64
