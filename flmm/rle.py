"""Bool masks and COCO's run-length encodings (RLE) of them, JSON-ready; and RLEs of others, checked."""

import reprlib
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

AREA_LIMIT = 2**31 - 1
"""Most px of an image whose masks pycocotools can count."""


def encode_masks(masks: np.ndarray) -> list[dict[str, Any]]:
    """Encode bool masks [N, H, W].

    Returns:
        N compressed RLEs: ``size``, the list [H, W], and ``counts``, a string.

    >>> encode_masks(np.ones((1, 2, 3), dtype=bool))
    [{'size': [2, 3], 'counts': '06'}]
    """
    columns = np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8)  # [H, W, N]
    return [{**rle, 'counts': rle['counts'].decode('ascii')} for rle in coco_mask.encode(columns)]


def decode_masks(rles: Sequence[dict[str, Any]]) -> np.ndarray:
    """Decode what :func:`encode_masks` made, into bool masks [N, H, W]. What others wrote is not checked.

    Raises:
        ValueError: there is no RLE, so that nothing says how large the masks are.
    """
    if not rles:
        raise ValueError('there is no RLE to decode, so nothing says how large the masks are; give one at least')
    return np.ascontiguousarray(coco_mask.decode(list(rles)).transpose(2, 0, 1), dtype=bool)  # [N, H, W]


def rle_area(rle: dict[str, Any]) -> int:
    """Count the px of a mask that :func:`encode_masks` made."""
    return int(coco_mask.area(rle))


def rle_box(rle: dict[str, Any]) -> list[int]:
    """Return COCO's box around a mask that :func:`encode_masks` made: [x, y, width, height] in px.

    >>> rle_box({'size': [2, 3], 'counts': '06'})
    [0, 0, 3, 2]
    """
    return [int(number) for number in coco_mask.toBbox(rle)]


def check_rle(rle: dict, *, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """Check an RLE that others wrote, of which pycocotools would read on behind the end.

    Args:
        rle: ``size``, and ``counts``: a list of runs, or compressed (str, or bytes as pycocotools makes them).
        size: (height, width) in px that it must have; None takes the one that it says.

    Returns:
        The compressed RLE as pycocotools makes it: ``size``, the list [H, W], and ``counts``, bytes.

    Raises:
        ValueError: keys are missing, the size is another or none, or the runs are broken or do not fill the size. The
            message is a predicate, such as 'is an RLE without size', for the caller to say whose.
    """
    if 'size' not in rle or 'counts' not in rle:
        raise ValueError(f'is an RLE without size or counts (keys {sorted(map(str, rle))})')
    found, counts = rle['size'], rle['counts']
    if size is None:
        size = _size_of(found)
    if not isinstance(found, (list, tuple)) or list(found) != list(size):
        raise ValueError(f'has size {reprlib.repr(found)}, the image has {list(size)}')
    if not counts or not isinstance(counts, (list, str, bytes)):
        raise ValueError(
            f'is an RLE whose counts are {reprlib.repr(counts)}, expected a list of runs or a compressed string'
        )
    is_list = isinstance(counts, list)
    for run in counts if is_list else ():
        if not isinstance(run, Integral) or isinstance(run, bool) or run > AREA_LIMIT:
            raise ValueError(f'is an RLE with the run {reprlib.repr(run)}, expected whole numbers of px')
    runs = np.array(counts, dtype=object) if is_list else _decompress(counts)  # JSON has integers of any length
    if runs.min() < 0 or runs.sum() != size[0] * size[1]:
        raise ValueError(f'is an RLE of {runs.sum()} px (shortest run {runs.min()}), expected {size[0] * size[1]}')
    if is_list:
        return coco_mask.frPyObjects({'size': list(size), 'counts': counts}, *size)
    return {'size': list(size), 'counts': counts.encode('ascii') if isinstance(counts, str) else counts}


def _size_of(found: Any) -> tuple[int, int]:
    is_pair = isinstance(found, (list, tuple)) and len(found) == 2
    if not is_pair or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in found):
        raise ValueError(f'has size {reprlib.repr(found)}, expected [height, width] in px')
    if found[0] * found[1] > AREA_LIMIT:
        raise ValueError(f'has size {reprlib.repr(found)}, of more px than an RLE can count')
    return found[0], found[1]


def _decompress(counts: str | bytes) -> np.ndarray:
    """Read COCO's compressed runs, int64, as pycocotools does, which goes on reading behind the end of what is cut off.

    A number is written in groups of five bits, the lowest first, each in a character from '0' on; 0x20 says that more
    follow, 0x10 of the last one is the sign. From the third on, it is the difference to the last but one.
    """
    text = counts.encode('utf-8', 'surrogatepass') if isinstance(counts, str) else counts
    groups = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    is_last = groups & 0x20 == 0
    starts = np.flatnonzero(np.concatenate([[True], is_last[:-1]]))
    places = np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))  # in its number
    if groups.min() < 0 or groups.max() >= 64 or places.max() > 6:
        raise ValueError(f'is an RLE whose compressed counts {reprlib.repr(counts)} are broken')
    if not is_last[-1]:
        raise ValueError(f'is an RLE whose compressed counts {reprlib.repr(counts)} are cut off')
    numbers = np.add.reduceat((groups & 0x1F) << 5 * places, starts)
    numbers -= (groups & 0x10)[is_last] << (5 * places[is_last] + 1)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
