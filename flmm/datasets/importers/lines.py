"""From any dataset of this package to the lines that JsonLinesDataset reads."""

import collections
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from flmm.datasets.grounding_dataset import GroundingDataset
from flmm.datasets.item import Item, Target
from flmm.datasets.load_masks import draw_mask
from flmm.datasets.mask_files import is_file_mask
from flmm.images import read_image_size
from flmm.rle import encode_masks


def to_json_lines(datasets: Iterable[tuple[str | None, GroundingDataset]]) -> list[dict[str, Any]]:
    """Convert datasets of one image folder.

    Args:
        datasets: (split, dataset), as their lines say it. They need not have been initialized (``lazy_init=True``).

    Returns:
        A line for each item, in order; see :func:`items_to_lines`.
    """
    items = []
    for split, dataset in datasets:
        prefix = os.path.join(dataset.data_prefix['img_path'], '')
        items += [(split, item.img_path.removeprefix(prefix), item) for item in dataset.load_items()]
    return list(items_to_lines(items))


def items_to_lines(items: Iterable[tuple[str | None, str, Item]]) -> Iterator[dict[str, Any]]:
    """Write items as lines. Their masks stay exactly what LoadMasks draws.

    Polygons and RLEs stay what they are; what lies in files, or is a union, becomes an RLE. Several items of one image
    get an ``id`` each, counted from 1.

    Args:
        items: (split or None, name of the image below its folder, item).

    Raises:
        ValueError: a mask in a file cannot be read, or the texts of one target differ in what only a target can be,
            thing or plural.
    """
    items = list(items)
    counts = collections.Counter(image for _, image, _ in items)
    seen: collections.Counter[str] = collections.Counter()
    for split, image, item in items:
        line: dict[str, Any] = {'image': image}
        if counts[image] > 1:
            seen[image] += 1
            line['id'] = seen[image]
        if item.annotated_size is not None:
            line['height'], line['width'] = map(int, item.annotated_size)
        if split is not None:
            line['split'] = split
        pictures: dict[str, np.ndarray] = {}
        line['phrases'] = [_phrase(target, item, pictures) for target in item.targets]
        if item.caption is not None:
            line['caption'] = item.caption
        yield line


def _phrase(target: Target, item: Item, pictures: dict[str, np.ndarray]) -> dict[str, Any]:
    texts, infos = zip(*target.texts, strict=True)
    kinds = [info.kind for info in infos]
    phrase: dict[str, Any] = {'phrase': texts[0] if len(texts) == 1 else list(texts)}
    phrase |= {'no_target': True} if target.mask is None else _mask(target.mask, item, pictures)
    if target.ignore is not None:
        phrase['ignore'] = _mask(target.ignore, item, pictures)
    if any(kinds):
        phrase['kind'] = kinds[0] if len(set(kinds)) == 1 else kinds
    for key in ('thing', 'plural'):
        values = {getattr(info, key) for info in infos}
        if len(values) > 1:
            raise ValueError(f'phrases {texts} of image {item.img_path!r} mean one target and differ in {key}')
        if values != {None}:
            phrase[key] = values.pop()
    return phrase


def _mask(mask: list | dict, item: Item, pictures: dict[str, np.ndarray]) -> dict[str, Any]:
    if isinstance(mask, list):
        return {'polygons': mask}
    if is_file_mask(mask) or 'union' in mask:
        size = item.annotated_size or read_image_size(item.img_path, name=item.img_path, orientation='refuse')[::-1]
        whose = f'a mask of image {item.img_path!r}'
        try:
            drawn = draw_mask(mask, pictures, size=size, whose=whose)
        except ValueError as error:
            raise ValueError(f'{whose} {error}') from error
        (rle,) = encode_masks(drawn[None].astype(bool))
        return {'rle': rle}
    counts = mask['counts']
    return {'rle': {'size': list(mask['size']), 'counts': counts.decode() if isinstance(counts, bytes) else counts}}
