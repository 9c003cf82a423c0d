"""GroundingSuite-Eval (arXiv 2503.10596): sentences for stuff, parts, single objects and several in COCO's images."""

import reprlib
from typing import Any

from flmm.datasets.annotation_file import ID_FORM, by_id, check_entry, is_id, is_length
from flmm.datasets.grounding_dataset import GroundingDataset
from flmm.datasets.item import Item, Target
from flmm.datasets.masks import encode_mask
from flmm.json_files import read_json_lines
from flmm.registry import DATASETS
from flmm.structures import PhraseInfo
from flmm.text import prepare_phrase

KINDS = {0: None, 1: 'stuff', 2: 'part', 3: 'multi', 4: 'single'}
"""class_id -> kind. The files name the numbers only; the words are read off their content. 0: no class."""


@DATASETS.register_module()
class GroundingSuiteDataset(GroundingDataset):
    """GroundingSuite-Eval, for testing: an item is an image with its sentences, in the order of the file.

    The sentence is ``caption``, the kind follows from ``class_id``. ``label`` and ``box`` are not read.

    >>> GroundingSuiteDataset(
    ...     name='grounding_suite',
    ...     data_root='data/grounding_suite',
    ...     ann_file='GroundingSuite-Eval.jsonl',
    ...     data_prefix=dict(img_path=''),
    ... )

    Args:
        name: names the test set in results.
        text_mode: One of GroundingDataset's modes; each sentence is a phrase of its own in all of them.
        **kwargs: GroundingDataset's: data_root, ann_file, data_prefix, pipeline, ... ``image_path`` of a line, such as
            'unlabeled2017/000000000267.jpg', lies below ``data_prefix['img_path']``.

    Raises:
        ValueError: the file is missing or malformed, an ``idx`` is there twice, a mask is empty, or masks of one image
            have several sizes. The message names file, line and key.
    """

    def __init__(self, *, name: str = 'grounding_suite', text_mode: str = 'select_first', **kwargs: Any) -> None:
        super().__init__(name=name, text_mode=text_mode, **kwargs)

    def load_items(self) -> list[Item]:
        """Read the file and check every line; return an item for each image."""
        items: dict[str, Item] = {}
        entries = []
        for where, entry in read_json_lines(self.ann_file, setting='ann_file'):
            check_entry(entry, keys=['idx', 'image_path', 'caption', 'segmentation'], where=where)
            if not is_id(entry['idx']):
                raise ValueError(f'{where} has idx {reprlib.repr(entry["idx"])}, expected {ID_FORM}')
            entries.append({**entry, 'where': where})
        by_id(entries, key='idx', where=f'idx of ann_file {self.ann_file!r}', describe=lambda entry: entry['where'])
        for entry in entries:
            name, where = entry['image_path'], entry['where']
            path = self.image_path(name, where=f"{where}, key 'image_path'")
            target, size = _target(entry, where=where)
            item = items.setdefault(name, Item(img_path=path, img_id=name, annotated_size=size))
            if item.annotated_size != size:
                raise ValueError(
                    f'{where} has a mask of {size[0]}x{size[1]} px (height x width), an earlier line of image {name!r} '
                    f'has {item.annotated_size}; get the file again'
                )
            item.targets.append(target)
        if not items:
            raise ValueError(f'ann_file {self.ann_file!r} has no line; get it again')
        return list(items.values())


def _target(entry: dict, *, where: str) -> tuple[Target, tuple[int, int]]:
    kind = entry.get('class_id', 0)
    if isinstance(kind, bool) or not isinstance(kind, int) or kind not in KINDS:
        raise ValueError(f'{where} has class_id {reprlib.repr(kind)}, expected one of {list(KINDS)}')
    rle = entry['segmentation']
    size = rle.get('size') if isinstance(rle, dict) else None
    if not isinstance(size, list) or len(size) != 2 or not all(map(is_length, size)):
        raise ValueError(f'{where} has segmentation {reprlib.repr(rle)}, expected an RLE with size [height, width]')
    try:
        prepare_phrase(entry['caption'], lowercase=True)
    except ValueError as error:
        raise ValueError(f'{where}: {error}') from error
    try:
        encode_mask(rle, size=tuple(size))
    except ValueError as error:
        raise ValueError(f'{where}: its segmentation {error}') from error
    texts = [(entry['caption'], PhraseInfo(kind=KINDS[kind]))]
    return Target(texts=texts, mask=rle, ann_id=entry['idx']), tuple(size)
