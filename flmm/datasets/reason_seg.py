"""ReasonSeg (LISA, arXiv 2308.00692): questions that need reasoning, each with one target and regions to ignore."""

import os
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flmm.datasets.drawn_shapes import points_of, shapes_of
from flmm.datasets.grounding_dataset import GroundingDataset
from flmm.datasets.item import Item, Target
from flmm.datasets.masks import fraction_outside, in_unit_square
from flmm.images import read_image_size
from flmm.json_files import read_json
from flmm.registry import DATASETS
from flmm.rle import encode_masks
from flmm.structures import PhraseInfo
from flmm.text import prepare_phrase

TARGET, IGNORE = 1, 255
"""What its authors paint."""


@DATASETS.register_module()
class ReasonSegDataset(GroundingDataset):
    """A split of ReasonSeg, for testing: a folder of NAME.jpg beside NAME.json, in the order of names.

    An item is an image with one target, and what is painted as ignored is its ``ignore``. The texts of a file are
    rephrasings of one question, of which tests read the first. ``kind`` is 'long' of a sentence (``is_sentence``), else
    'short': its tables have a column of each.

    The authors' masks are drawn on the picture as EXIF turns it, so the pipeline needs
    ``PILLoadImageFromFile(orientation='apply')``. The log counts targets of which more than a tenth lies outside.

    >>> ReasonSegDataset(name='reason_seg_val', data_root='data/reason_seg/ReasonSeg', data_prefix=dict(img_path='val'))

    Args:
        name: names the test set in results, such as 'reason_seg_val'.
        text_mode: which of the texts are taken, as in :class:`GroundingDataset`.
        **kwargs: GroundingDataset's: data_root, data_prefix (``img_path`` is the folder of the split), pipeline, ...

    Raises:
        ValueError: the folder has no picture, a picture or JSON lacks its other half, a file is malformed, or no pixel
            is in the target. The message names the file.
    """

    def __init__(self, *, name: str, text_mode: str = 'select_first', **kwargs: Any) -> None:
        super().__init__(name=name, text_mode=text_mode, **kwargs)

    def load_items(self) -> list[Item]:
        """Read the JSON files and draw their shapes; return an item for each."""
        folder = Path(self.data_prefix['img_path'])
        names = sorted(path.stem for path in folder.glob('*.jpg'))
        annotated = sorted(path.stem for path in folder.glob('*.json'))
        if not names:
            raise ValueError(f'folder {str(folder)!r} holds no .jpg; check data_root and data_prefix')
        if names != annotated:
            odd = min(set(names) ^ set(annotated))
            missing = '.json' if odd in names else '.jpg'
            raise ValueError(f'folder {str(folder)!r} has no {odd + missing!r}; unpack the archive again')
        fractions: dict[str, float] = {}
        items = [self._item(name, fractions) for name in names]
        self.log_outside(fractions, source=f'folder {str(folder)!r}')
        return items

    def _item(self, name: str, fractions: dict[str, float]) -> Item:
        path = self.image_path(f'{name}.jpg', where=self.data_prefix['img_path'])
        annotation = os.path.splitext(path)[0] + '.json'
        where = f'annotation {annotation!r}'
        # As the authors do: some files were saved on Windows.
        content = read_json(annotation, setting='annotation', legacy_encoding='cp1252')
        shapes = shapes_of(content, where=where)
        texts, is_sentence = content.get('text'), content.get('is_sentence')
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not texts:
            raise ValueError(f'{where} has text {reprlib.repr(texts)}, expected a list of strings')
        if not isinstance(is_sentence, bool):
            raise ValueError(f'{where} has is_sentence {reprlib.repr(is_sentence)}, expected true or false')
        try:
            for text in texts:
                prepare_phrase(text, lowercase=True)
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error
        labelled = [
            (shape['label'], points_of(shape, where=f'shape {index} of {where}')) for index, shape in enumerate(shapes)
        ]
        width, height = read_image_size(path, name=path, orientation='apply')
        painted = paint_shapes(labelled, size=(height, width))
        if not (painted == TARGET).any():
            raise ValueError(f'{where} has no pixel of a target, in a picture of {height}x{width} px; check its shapes')
        targets = [points for label, points in labelled if value_of(label) == TARGET]
        if all(map(in_unit_square, targets)):
            raise ValueError(f'{where} has a target in coordinates of 0 to 1, expected px')
        # from three points on: of fewer, the mask is a line
        polygons = [points.ravel().tolist() for points in targets if len(points) > 2]
        fractions[name] = fraction_outside(polygons, size=(height, width)) if polygons else 0.0
        mask, ignore = encode_masks(np.stack([painted == TARGET, painted == IGNORE]))
        info = PhraseInfo(kind='long' if is_sentence else 'short')
        target = Target(
            texts=[(text, info) for text in texts],
            mask=mask,
            ignore=ignore if (painted == IGNORE).any() else None,
            ann_id=name,
        )
        return Item(img_path=path, img_id=name, annotated_size=(height, width), targets=[target])


def paint_shapes(shapes: Sequence[tuple[str, np.ndarray]], *, size: tuple[int, int]) -> np.ndarray:
    """Paint shapes as ReasonSeg's authors do: the largest first, so that a smaller one covers it where they overlap.

    Coordinates are cut to whole px, and a shape's outline belongs to it. A shape labelled 'flag' is left out, one whose
    label holds 'ignore' is ignored, every other one is target.

    Args:
        shapes: label and points, float64 [P, 2], XY in px.
        size: (height, width) in px.

    Returns:
        [height, width] uint8: 1 of the target, 255 where ignored, else 0.
    """
    used = [(value, points.astype(np.int32)) for label, points in shapes if (value := value_of(label)) is not None]
    areas = [np.count_nonzero(_paint(np.zeros(size, dtype=np.uint8), points, 1)) for _, points in used]
    painted = np.zeros(size, dtype=np.uint8)
    for index in np.argsort(areas, kind='stable')[::-1]:  # of equal ones the later first, as theirs
        value, points = used[index]
        _paint(painted, points, value)
    return painted


def value_of(label: str) -> int | None:
    """Return what a shape of this label is painted with; None where it is left out."""
    if label.lower() == 'flag':
        return None
    return IGNORE if 'ignore' in label.lower() else TARGET


def _paint(canvas: np.ndarray, points: np.ndarray, value: int) -> np.ndarray:
    cv2.polylines(canvas, [points], isClosed=True, color=value, thickness=1)
    return cv2.fillPoly(canvas, [points], color=value)
