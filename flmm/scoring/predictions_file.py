"""Files of predictions and of truths, of this package or any other: one JSON object a line (docs/evaluation.md)."""

import difflib
import math
import reprlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from flmm.json_files import read_json_lines
from flmm.phrase_info import PhraseInfo
from flmm.rle import check_rle
from flmm.scoring.phrase_score import SOURCES

PREDICTION_KEYS = (
    'test_set',
    'image',
    'phrase',
    *SOURCES,
    'score',
    'exists',
    'coarse_exists',
    'kind',
    'thing',
    'plural',
)
TRUTH_KEYS = ('test_set', 'image', 'phrase', 'mask', 'ignore', 'kind', 'thing', 'plural')

Rle = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What was predicted for a phrase.

    Args:
        where: file and line, for messages.
        test_set: which test set the phrase belongs to; None where the line does not say.
        image: names the image.
        phrase: The phrase as the test set has it.
        masks: 'refined', and 'coarse' where the line has one -> checked RLE, None for 'not there'.
        exists: for each of these masks whether something is said to be there; None where only the mask says so.
    """

    where: str
    test_set: str | None
    image: str
    phrase: str
    masks: dict[str, Rle | None]
    exists: dict[str, bool | None]

    def says_absent(self, source: str) -> bool:
        """Whether the prediction is 'not there': by ``exists``, or else by a mask without a pixel."""
        mask, exists = self.masks[source], self.exists[source]
        return not exists if exists is not None else mask is None or not coco_mask.area(mask)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a phrase means; for the fields see :class:`Prediction`.

    Args:
        where: file and line, for messages.
        test_set: which test set the phrase belongs to; None where there is only one.
        image: names the image.
        phrase: The phrase as predictions have it.
        mask: checked RLE; None, or one without a pixel, where the phrase means nothing in the image.
        ignore: pixels that are counted nowhere; None where there are none.
        info: what else is said of the phrase.
    """

    where: str
    test_set: str | None
    image: str
    phrase: str
    mask: Rle | None
    ignore: Rle | None
    info: PhraseInfo


def read_predictions(path: str | Path) -> list[Prediction]:
    """Read a file of predictions.

    Raises:
        ValueError: a line is broken; the message names file and line. Besides what
            :func:`flmm.json_files.read_json_lines` refuses: a key that is missing, misspelt or of another type, an RLE
            that is broken, 'exists' or 'coarse_exists' true without its mask, or 'coarse' in some lines of a test set
            only.
    """
    predictions = []
    first: dict[str | None, Prediction] = {}  # of each test set
    for where, entry in _entries(path, setting='predictions', keys=PREDICTION_KEYS):
        names = _names(entry, where=where)
        _check_score(entry, where=where)
        if 'refined' not in entry:
            raise ValueError(f"{where} lacks 'refined', a mask as RLE or null for 'not there'")
        masks = {source: _mask(entry, source, where=where) for source in SOURCES if source in entry}
        exists = {}
        for source, mask in masks.items():
            key = 'coarse_exists' if source == 'coarse' and 'coarse_exists' in entry else 'exists'
            exists[source] = _flag(entry, key, where=where)
            if exists[source] and mask is None:
                raise ValueError(f"{where}: {key!r} is true, but {source!r} is null, which says 'not there'")
        prediction = Prediction(where=where, masks=masks, exists=exists, **names)
        other = first.setdefault(prediction.test_set, prediction)
        if masks.keys() != other.masks.keys():
            given, lacking = sorted((prediction, other), key=lambda each: -len(each.masks))
            raise ValueError(f"{lacking.where} lacks 'coarse', which {given.where} has; give it in all lines or none")
        predictions.append(prediction)
    return predictions


def read_truths(path: str | Path) -> list[Truth]:
    """Read a file of truths.

    Raises:
        ValueError: a line is broken; the message names file and line. Besides what
            :func:`flmm.json_files.read_json_lines` refuses: a key that is missing, misspelt or of another type, an RLE
            that is broken, or 'test_set' in some lines only.
    """
    truths: list[Truth] = []
    for where, entry in _entries(path, setting='truth', keys=TRUTH_KEYS):
        names = _names(entry, where=where)
        if 'mask' not in entry:
            raise ValueError(f"{where} lacks 'mask', an RLE or null where the phrase means nothing in the image")
        kind = entry.get('kind')
        if kind is not None and not isinstance(kind, str):
            raise ValueError(f"{where}: 'kind' is {reprlib.repr(kind)}, expected a string")
        flags = {key: _flag(entry, key, where=where) for key in ('thing', 'plural')}
        masks = {key: _mask(entry, key, where=where) for key in ('mask', 'ignore')}
        truths.append(Truth(where=where, info=PhraseInfo(kind=kind, **flags), **masks, **names))
        if (truths[-1].test_set is None) != (truths[0].test_set is None):
            given, lacking = sorted((truths[0], truths[-1]), key=lambda each: each.test_set is None)
            raise ValueError(f"{lacking.where} lacks 'test_set', which {given.where} has; give it in all lines or none")
    return truths


def _entries(path: str | Path, *, setting: str, keys: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line's place and object, which may have other keys, but none that looks like one of ``keys`` misspelt.

    What looks like a key that is there as well, such as 'phrase_id' beside 'phrase', is another tool's.
    """
    num_lines = 0
    for where, entry in read_json_lines(str(path), setting=setting):
        num_lines += 1
        if not isinstance(entry, dict):
            raise ValueError(f'{where} is {reprlib.repr(entry)}, expected a JSON object')
        for key in entry.keys() - set(keys):
            meant = difflib.get_close_matches(key.lower(), set(keys) - entry.keys(), n=1, cutoff=0.8)
            if meant:
                raise ValueError(
                    f'{where} has the key {key!r}, which means nothing; write {meant[0]!r} if that is meant'
                )
        yield where, entry
    if not num_lines:
        raise ValueError(f'{setting} {str(path)!r} is empty, expected one JSON object a line')


def _names(entry: dict[str, Any], *, where: str) -> dict[str, Any]:
    for key in ('image', 'phrase'):
        if not isinstance(entry.get(key), str) or not entry[key]:
            found = f'{key!r} is {reprlib.repr(entry[key])}' if key in entry else f'lacks {key!r}'
            raise ValueError(f'{where} {found}, expected a string that is not empty')
    test_set = entry.get('test_set')
    if 'test_set' in entry and (not isinstance(test_set, str) or not test_set):
        raise ValueError(f"{where} 'test_set' is {reprlib.repr(test_set)}, expected a string that is not empty")
    return {'test_set': test_set, 'image': entry['image'], 'phrase': entry['phrase']}


def _flag(entry: dict[str, Any], key: str, *, where: str) -> bool | None:
    if entry.get(key) is not None and not isinstance(entry[key], bool):
        raise ValueError(f'{where}: {key!r} is {reprlib.repr(entry[key])}, expected true or false')
    return entry.get(key)


def _check_score(entry: dict[str, Any], *, where: str) -> None:
    score = entry.get('score')
    is_number = isinstance(score, (int, float)) and not isinstance(score, bool)
    if score is not None and not (is_number and abs(score) < math.inf):
        raise ValueError(f"{where}: 'score' is {reprlib.repr(score)}, expected a number")


def _mask(entry: dict[str, Any], key: str, *, where: str) -> Rle | None:
    mask = entry.get(key)
    if mask is None:
        return None
    try:
        if not isinstance(mask, dict):
            raise ValueError(f'is {reprlib.repr(mask)}, expected an RLE or null')
        if not isinstance(mask.get('counts', ''), str):
            raise ValueError(f"is an RLE whose counts are {reprlib.repr(mask['counts'])}, expected COCO's string")
        return check_rle(mask)
    except ValueError as error:
        raise ValueError(f'{where}: {key!r} {error}') from error
