"""What is true of an image and a question, as rewards compare answers with it.

It stands beside the messages of a conversation (:mod:`flmm.finetune.chat_format`), under the key ``truth``:

.. code-block:: text

    {"messages": [...],
     "truth": {"masks": [{"size": [480, 640], "counts": "..."}, "masks/0001_2.png"],
               "boxes": [[10, 20, 110, 140], [300, 40, 380, 200]], "points": [[60, 80], [340, 120]], "count": 2}}

One of the keys is enough, and each has one entry for each object: ``masks`` COCO's RLE, or the path of a PNG below the
image root whose pixels are not 0 in the mask; ``boxes`` [x1, y1, x2, y2], edges in px of the image; ``points`` [x, y]
in px of the image; ``count`` is how many objects there are. Empty lists, or a count of 0, say that nothing is there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from flmm.files import path_inside
from flmm.json_files import brief
from flmm.reinforce.answer import Box, Point
from flmm.rle import check_rle, decode_masks, encode_masks, rle_area, rle_box

KEYS = ('masks', 'boxes', 'points', 'count')


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The objects that an answer should name; what is None is not known.

    Args:
        image_size: (width, height) of the image in px.
        count: how many objects there are.
        boxes: (x1, y1, x2, y2) of each, edges in px of the image.
        points: (x, y) of each, in px of the image.
        rles: the mask of each as COCO's compressed RLE.
    """

    image_size: tuple[int, int]
    count: int
    boxes: tuple[Box, ...] | None = None
    points: tuple[Point, ...] | None = None
    rles: tuple[dict[str, Any], ...] | None = None

    @property
    def masks(self) -> np.ndarray | None:
        """[N, H, W] bool, decoded anew at each access."""
        if self.rles is None:
            return None
        width, height = self.image_size
        return decode_masks(self.rles) if self.rles else np.zeros((0, height, width), dtype=bool)


def parse_truth(said: Any, *, where: str, image_size: tuple[int, int], image_root: Path, allow_outside: bool) -> Truth:
    """Check what a line says under ``truth``, and complete it: boxes are those around masks, points their middles.

    Args:
        said: the value of the key.
        where: names file, line and key in messages.
        image_size: (width, height) of the image in px.
        image_root: folder that paths of masks are relative to.
        allow_outside: whether these may lead out of it.

    Raises:
        ValueError: it is no object of these keys, they differ in how many objects they have or where these are, or one
            is malformed or lies outside of the image; names key and value.
    """
    if not isinstance(said, dict) or not said or not said.keys() <= set(KEYS):
        raise ValueError(f'{where} is {brief(said)}, expected an object with one or more of {", ".join(KEYS)}')
    count = said.get('count')
    if 'count' in said and (not isinstance(count, int) or isinstance(count, bool) or count < 0):
        raise ValueError(f'{where}.count is {brief(count)}, expected how many objects there are, 0 or more')
    for key in KEYS[:-1]:
        if key in said and not isinstance(said[key], list):
            raise ValueError(f'{where}.{key} is {brief(said[key])}, expected a list with an entry for each object')
    counts = {key: len(said[key]) if key != 'count' else count for key in KEYS if key in said}
    if len(set(counts.values())) > 1:
        raise ValueError(f'{where} has different numbers of objects: {counts}')
    rles = around = boxes = points = None
    if 'masks' in said:
        inside = partial(path_inside, image_root, allow_outside=allow_outside)
        rles = tuple(_rle(mask, f'{where}.masks[{i}]', image_size, inside) for i, mask in enumerate(said['masks']))
        boxes = around = tuple((x, y, x + width, y + height) for x, y, width, height in map(rle_box, rles))
    if 'boxes' in said:
        boxes = tuple(_place(box, f'{where}.boxes[{i}]', image_size, 4) for i, box in enumerate(said['boxes']))
        _check_agreement(boxes, around, where=f'{where}.boxes', other='masks')
    if 'points' in said:
        points = tuple(_place(point, f'{where}.points[{i}]', image_size, 2) for i, point in enumerate(said['points']))
        _check_agreement(points, boxes, where=f'{where}.points', other='boxes' if 'boxes' in said else 'masks')
    elif boxes is not None:
        points = tuple(((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes)
    return Truth(image_size=image_size, count=next(iter(counts.values())), boxes=boxes, points=points, rles=rles)


def _place(said: Any, where: str, image_size: tuple[int, int], length: int) -> Any:
    """Check a point, or a box: its corners."""
    expected = f'{["x", "y"] if length == 2 else ["x1", "y1", "x2", "y2"]} in px of the image'
    is_list = isinstance(said, list) and len(said) == length
    if not is_list or not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in said):
        raise ValueError(f'{where} is {brief(said)}, expected {expected}')
    if any(not 0 <= n <= image_size[i % 2] for i, n in enumerate(said)):
        raise ValueError(f'{where} is {brief(said)}, which lies outside of the image of {image_size} px')
    if length == 4 and (said[0] >= said[2] or said[1] >= said[3]):
        raise ValueError(f'{where} is {brief(said)}, expected {expected} with x1 < x2 and y1 < y2')
    return tuple(map(float, said))


def _check_agreement(places: tuple[Any, ...], boxes: tuple[Box, ...] | None, *, where: str, other: str) -> None:
    """Refuse points, or boxes, that lie apart from the boxes of the same objects under another key."""
    for i, (place, box) in enumerate(zip(places, boxes or (), strict=boxes is not None)):
        if any(place[-2:][axis] < box[axis] or place[axis] > box[axis + 2] for axis in (0, 1)):
            raise ValueError(
                f'{where}[{i}] is {list(place)}, apart from {other}[{i}], which is in {list(box)} (x1, y1, x2, y2); '
                'expected the same object at the same place under each key'
            )


def _rle(said: Any, where: str, image_size: tuple[int, int], inside: Callable[[str], Path]) -> dict[str, Any]:
    width, height = image_size
    try:
        if isinstance(said, str):
            from flmm.datasets.mask_files import read_png  # here: it brings mmdet along

            mask = read_png(str(inside(said)), mode='L') != 0
            if mask.shape != (height, width):
                raise ValueError(f'is of {mask.shape[1]} x {mask.shape[0]} px, the image of {width} x {height} px')
            (rle,) = encode_masks(mask[None])
        elif isinstance(said, dict):
            rle = check_rle(said, size=(height, width))
        else:
            raise ValueError(f'is {brief(said)}, expected an RLE or the path of a PNG')
        if not rle_area(rle):
            raise ValueError('has no pixel; leave the object out')
    except ValueError as error:
        raise ValueError(f'{where} {error}') from error
    return rle
