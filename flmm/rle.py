"""Bool masks and COCO's run-length encodings (RLE) of them, JSON-ready."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask


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
