"""Predictions and truths, brought together line by line, and scored from their RLEs."""

from collections.abc import Iterable, Iterator, Sequence

from pycocotools import mask as coco_mask

from flmm.scoring.phrase_score import PhraseScore
from flmm.scoring.predictions_file import Prediction, Rle, Truth

Pair = tuple[Prediction, Truth]


def match_lines(predictions: Sequence[Prediction], truths: Sequence[Truth]) -> list[Pair]:
    """Bring each truth together with its prediction: by image, phrase, and their order among equals.

    Where the truths name test sets, the predictions must too, and both must be of the same.

    Returns:
        The pairs, in the order of the truths.

    Raises:
        ValueError: a prediction is missing, is there twice, belongs to no truth, or has a mask of another size than
            the truth or the other masks of its image. The message names file and line.
    """
    by_test_set = truths[0].test_set is not None
    places: dict[tuple, list[int]] = {}
    for index, truth in enumerate(truths):
        places.setdefault((truth.test_set, truth.image, truth.phrase), []).append(index)
    matched: dict[int, Prediction] = {}
    last: dict[tuple, Prediction] = {}
    for prediction in predictions:
        if by_test_set and prediction.test_set is None:
            raise ValueError(f"{prediction.where} lacks 'test_set', which the truths have ({truths[0].where})")
        key = (prediction.test_set if by_test_set else None, prediction.image, prediction.phrase)
        if key not in places:
            raise ValueError(f'{prediction.where} is of {_described(prediction)}, of which no truth is known')
        if not places[key]:
            raise ValueError(
                f'{prediction.where} predicts {_described(prediction)} once more than there are truths; before it '
                f'stands {last[key].where}'
            )
        matched[places[key].pop(0)] = prediction
        last[key] = prediction
    missing = [truth for index, truth in enumerate(truths) if index not in matched]
    if missing:
        file = predictions[0].where.partition(' of ')[2]
        raise ValueError(
            f'{file} lacks predictions for {len(missing)} of {len(truths)} truths, first for '
            f'{_described(missing[0])} ({missing[0].where}); write null where nothing is found'
        )
    pairs = [(matched[index], truth) for index, truth in enumerate(truths)]
    _check_sizes(pairs)
    return pairs


def score_pairs(pairs: Iterable[Pair], *, test_set: str) -> Iterator[PhraseScore]:
    """Score each mask that was predicted.

    Args:
        pairs: Predictions and truths, as :func:`match_lines` pairs them.
        test_set: what the test set is called where the truths do not say.
    """
    for prediction, truth in pairs:
        has_target = truth.mask is not None and bool(coco_mask.area(truth.mask))
        for source, mask in prediction.masks.items():
            says_absent = prediction.says_absent(source)
            masks = [each for each in (truth.mask, None if says_absent else mask) if each is not None]
            yield PhraseScore(
                dataset_name=truth.test_set or test_set,
                source=source,
                image=truth.image,
                info=truth.info,
                intersection=_area(masks, truth.ignore, intersect=True) if len(masks) == 2 else 0,
                union=_area(masks, truth.ignore, intersect=False) if masks else 0,
                has_target=has_target,
                says_absent=says_absent,
            )


def _area(masks: list[Rle], ignore: Rle | None, *, intersect: bool) -> int:
    """Count the px of the intersection or union of masks, without those that are ignored."""
    merged = coco_mask.merge(masks, intersect=intersect)
    ignored = 0 if ignore is None else coco_mask.area(coco_mask.merge([merged, ignore], intersect=True))
    return int(coco_mask.area(merged)) - int(ignored)


def _check_sizes(pairs: Sequence[Pair]) -> None:
    known: dict[tuple[str | None, str], tuple[list[int], str]] = {}  # image -> its size, and which mask says so
    masks = [(truth, truth.where, name, getattr(truth, name)) for _, truth in pairs for name in ('mask', 'ignore')]
    masks += [(truth, line.where, source, mask) for line, truth in pairs for source, mask in line.masks.items()]
    for truth, where, name, mask in masks:
        if mask is not None:
            whose = f'{name!r} of {where}'
            size, other = known.setdefault((truth.test_set, truth.image), (mask['size'], whose))
            if mask['size'] != size:
                raise ValueError(
                    f'{whose} has size {mask["size"]}, but {other} has {size}; masks of image {truth.image!r} must '
                    'have its height and width'
                )


def _described(line: Prediction | Truth) -> str:
    test_set = f' of test set {line.test_set!r}' if line.test_set is not None else ''
    return f'phrase {line.phrase!r} of image {line.image!r}{test_set}'
