"""LabelMe's folders: the label of an instance is a phrase, its shapes are the mask."""

import base64
import collections
import io
import os
import reprlib
from pathlib import Path, PureWindowsPath

import numpy as np
from PIL import Image

from flmm.datasets.annotation_file import ID_FORM, is_id
from flmm.datasets.drawn_shapes import points_of, shapes_of
from flmm.datasets.item import Item, Target
from flmm.datasets.masks import encode_mask, unite_masks
from flmm.files import LONGEST_PATH
from flmm.images import read_image_size
from flmm.json_files import read_json
from flmm.rle import encode_masks
from flmm.structures import PhraseInfo
from flmm.text import prepare_phrase

CIRCLE_POINTS = 128
"""Corners of the polygon that stands for a circle: 0.03 % of its radius from the rim at most."""


def labelme_items(folder: str | Path, *, images: str | Path, skip_broken: bool = False) -> tuple[list[Item], list[str]]:
    """Read all ``*.json`` of a folder and of those below it, in the order of their paths.

    A phrase is an instance: the shapes that share ``group_id`` and label (in whatever capitals and blanks), or one
    shape without ``group_id``. Polygons, rectangles, circles and masks are read; lines and points have no area. Points
    lie on the picture as EXIF turns it.

    Args:
        folder: where the JSON files lie, in any depth.
        images: the image folder, in which all pictures must lie; ``img_path`` is the path below it.
        skip_broken: leaves out shapes that cannot be read and files without any other, and says so, instead of raising.

    Returns:
        The items, and what was left out.

    Raises:
        ValueError: the folder has no JSON file, a file or its picture is missing, malformed or of another size, or,
            without ``skip_broken``, a shape has no area or a file no shape.
    """
    items, left_out = [], []
    paths = sorted(Path(folder).rglob('*.json'))
    if not paths:
        raise ValueError(f'folder {str(folder)!r} holds no .json, also below; name the folder that LabelMe wrote to')
    first: dict[str, Path] = {}  # picture -> file
    for path in paths:
        item, problems = _item(path, images=images)
        if first.setdefault(item.img_path, path) != path:
            raise ValueError(
                f'annotations {str(first[item.img_path])!r} and {str(path)!r} are both of the picture '
                f'{item.img_path!r}; keep one'
            )
        if not item.targets:
            problems.append(f'annotation {str(path)!r} has no shape that can be read; remove or annotate it')
        if problems and not skip_broken:
            raise ValueError(problems[0])
        left_out += problems
        items += [item] if item.targets else []
    return items, left_out


def _item(path: Path, *, images: str | Path) -> tuple[Item, list[str]]:
    content, where = read_json(str(path), setting='annotation'), f'annotation {str(path)!r}'
    shapes = shapes_of(content, where=where)
    named = content.get('imagePath')
    if not isinstance(named, str) or not 0 < len(named) <= LONGEST_PATH:
        raise ValueError(f'{where} has imagePath {reprlib.repr(named)}, expected the path of its picture')
    picture = os.path.normpath(path.parent / PureWindowsPath(named).as_posix())  # which may hold backslashes
    name = os.path.relpath(picture, images)
    if Path(name).parts[0] == '..':
        raise ValueError(f'{where} has the picture {picture!r}, outside the image folder {str(images)!r}; name another')
    width, height = read_image_size(picture, name=picture, orientation='apply')
    stated = (content.get('imageHeight'), content.get('imageWidth'))
    if stated not in ((None, None), (height, width)):
        raise ValueError(
            f'{where} was made on {"x".join(map(reprlib.repr, stated))} px (height x width), its picture {picture!r} '
            f'has {height}x{width}; take the picture that was annotated'
        )
    item = Item(img_path=name, img_id=name, annotated_size=(height, width))
    instances: dict[tuple, list] = collections.defaultdict(list)
    problems = []
    for index, shape in enumerate(shapes):
        group = shape.get('group_id')
        try:
            label = prepare_phrase(shape['label'], lowercase=True)
            if group is not None and (not is_id(group) or group == ''):
                raise ValueError(f'it has group_id {reprlib.repr(group)}, expected {ID_FORM}, or null')
            mask = _mask_of(shape, size=(height, width))
            instances[label, ('shape', index) if group is None else str(group)].append((shape['label'], mask))
        except ValueError as error:
            problems.append(f'shape {index} ({shape["label"]!r}) of {where}: {error}')
    for instance in instances.values():
        (label, *_), masks = zip(*instance, strict=True)
        mask = unite_masks(masks, size=(height, width))
        item.targets.append(Target(texts=[(label, PhraseInfo())], mask=mask))
    return item, problems


def _mask_of(shape: dict, *, size: tuple[int, int]) -> list | dict:
    """Return the polygons or the RLE of a shape. Messages of errors don't say whose."""
    kind, points = shape.get('shape_type') or 'polygon', points_of(shape, where='it')
    needed = {'polygon': 'three or more', 'rectangle': 2, 'oriented_rectangle': 4, 'circle': 2, 'mask': 2}
    if not isinstance(kind, str) or len(kind) > 50:
        raise ValueError(f"it has shape_type {reprlib.repr(kind)}, expected a string such as 'polygon'")
    if kind not in needed:
        raise ValueError(f'it is a {kind}, which has no area; draw a polygon, or leave such shapes out')
    if len(points) < 3 if kind == 'polygon' else len(points) != needed[kind]:
        raise ValueError(f'it is a {kind} of {len(points)} points, expected {needed[kind]}')
    if kind == 'mask':
        mask = _bitmap(shape.get('mask'), points, size=size)
    elif kind == 'rectangle':
        (left, top), (right, bottom) = points.tolist()
        mask = [[left, top, right, top, right, bottom, left, bottom]]
    elif kind == 'circle':
        angles = np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
        radius = np.linalg.norm(points[1] - points[0])
        mask = [(points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)).ravel().tolist()]
    else:
        mask = [points.ravel().tolist()]
    try:
        encode_mask(mask, size=size)
    except ValueError as error:
        raise ValueError(f'it {error}') from error
    return mask


def _bitmap(png: str, points: np.ndarray, *, size: tuple[int, int]) -> dict:
    """Lay the crop that a shape of type mask holds over an empty mask; what sticks out of the picture is cut off."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(png, validate=True)), formats=['PNG']) as picture:
            crop = np.asarray(picture).astype(bool)
    except (TypeError, ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f'it is a mask without a PNG in base64 under "mask" ({error}); save it again') from error
    if crop.ndim != 2:
        raise ValueError(f'it is a mask of {crop.shape[-1]} channels, expected one')
    (left, top), (right, bottom) = points.round().astype(int).tolist()
    box = (bottom - top + 1, right - left + 1)
    if (points == points.round()).all() and crop.shape != box:  # of others only where they begin is exact
        raise ValueError(f'it is a mask of {crop.shape} px (height, width), its box has {box}; save it again')
    rows, columns = np.nonzero(crop)
    rows, columns = rows + top, columns + left
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    drawn = np.zeros(size, dtype=bool)
    drawn[rows[inside], columns[inside]] = True
    return encode_masks(drawn[None])[0]
