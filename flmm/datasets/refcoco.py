"""RefCOCO, RefCOCO+ and RefCOCOg, safely read."""

import collections
import functools
import logging
import os
from typing import Any

from mmengine.logging import print_log

from flmm.datasets.annotation_file import Id, is_id
from flmm.datasets.grounding_dataset import GroundingDataset, Item, Target
from flmm.datasets.instances_file import CheckedMask, check_annotation, check_image, load_instances
from flmm.datasets.refs_file import check_sentences, load_refs
from flmm.registry import DATASETS
from flmm.structures import PhraseInfo

MUCH_OUTSIDE = 0.1
"""Which part of a mask's area may lie outside the image without a word. COCO's polygons stick out by a pixel."""


class RefCocoFiles:
    """Reads files of annotations, each when it is first asked for, and keeps what they say: a gigabyte for RefCOCO.

    ``refs(path)`` is :func:`flmm.datasets.refs_file.load_refs`, ``instances(path)`` is
    :func:`flmm.datasets.instances_file.load_instances`. What they return must not be changed.
    """

    def __init__(self) -> None:
        self.refs = functools.cache(load_refs)
        self.instances = functools.cache(load_instances)


@DATASETS.register_module()
class RefCocoDataset(GroundingDataset):
    """RefCOCO, RefCOCO+ or RefCOCOg, with mmdet's arguments: an item is an image with the objects referred to in it.

    It differs from mmdet's class in what follows: the refs pickle cannot run code; ``text_mode='random'`` draws anew at
    every access, not once at loading; 'concat' puts a space between sentences; two refs to one object give both, not
    the last; items keep the order of the refs file; and those of :class:`GroundingDataset` have more keys.

    Whatever is read is checked when the files are read. Polygons that draw nothing beside others that do are left out;
    the log counts them, and masks that lie outside the image by more than a tenth of their area.

    Args:
        split_file: ``refs(*).p``, below data_root.
        split: which refs of it are taken.
        name: names the test set in results, such as 'refcoco_val_first_sentence'. Defaults to the split's name.
        text_mode: which sentences of a ref become phrases, as in :class:`GroundingDataset`.
        skip_wordless: True leaves out sentences without letter or digit, and the log counts them. False makes them an
            error.
        files: reads the annotations; shared by datasets of the same files, each of which would read them anew.
        **kwargs: GroundingDataset's: data_root, ann_file (``instances.json``), data_prefix, pipeline, ...

    Raises:
        ValueError: a file is missing or malformed, an id is there twice, a mask is empty, or the split holds no sample.
            The message names file, entry and key.
    """

    def __init__(
        self,
        *,
        split_file: str,
        split: str = 'train',
        name: str | None = None,
        text_mode: str = 'random',
        skip_wordless: bool = False,
        files: RefCocoFiles | None = None,
        **kwargs: Any,
    ) -> None:
        self.split_file, self.split = split_file, split
        self.skip_wordless = skip_wordless
        self._files = files
        super().__init__(name=split if name is None else name, text_mode=text_mode, **kwargs)

    def _join_prefix(self) -> None:
        super()._join_prefix()
        self.split_file = os.path.join(self.data_root or '', self.split_file)

    def load_items(self) -> list[Item]:
        """Read both annotation files; return an item for each image that has refs in the split."""
        files, self._files = self._files or RefCocoFiles(), None  # not kept: workers would get a copy each
        refs = [ref for ref in files.refs(self.split_file) if ref['split'] == self.split]
        if not refs:
            raise ValueError(f'no sample in split {self.split!r} of {self.split_file!r}; check split and split_file')
        images, annotations = files.instances(self.ann_file)
        items: dict[Id, Item] = {}
        masks: dict[Id, CheckedMask] = {}
        left_out: collections.Counter[str] = collections.Counter()
        for ref in refs:
            sentences = check_sentences(ref, path=self.split_file, skip_wordless=self.skip_wordless)
            left_out['wordless sentences'] += len(ref['sentences']) - len(sentences)
            left_out['refs with no other sentence'] += not sentences
            if not sentences:
                continue
            image, annotation = self._entries(ref, images, annotations)
            if image['id'] not in items:
                items[image['id']] = self._item(image)
            item = items[image['id']]
            if annotation['id'] not in masks:
                size = item.annotated_size
                masks[annotation['id']] = check_annotation(annotation, path=self.ann_file, image=image, size=size)
                item.annotated_size = masks[annotation['id']].size
            texts = [(sentence['raw'], PhraseInfo(kind=sentence.get('kind'))) for sentence in sentences]
            item.targets.append(Target(texts=texts, mask=masks[annotation['id']].mask, ann_id=ref['ann_id']))
        left_out['polygons that draw nothing'] = sum(checked.num_left_out for checked in masks.values())
        self.log_left_out(left_out, source=f'{self.split_file!r} and {self.ann_file!r}')
        self._log_outside({key: checked.fraction_outside for key, checked in masks.items()})
        if not items:
            raise ValueError(f'no sentence in split {self.split!r} of {self.split_file!r} has a letter or digit')
        return list(items.values())

    def _entries(self, ref: dict, images: dict[Id, dict], annotations: dict[Id, dict]) -> tuple[dict, dict]:
        whose = f'ref {ref["ref_id"]!r} of {self.split_file!r}'
        for key, known in (('image_id', images), ('ann_id', annotations)):
            if ref[key] not in known:
                raise ValueError(
                    f'{whose} has {key} {ref[key]!r}, which {self.ann_file!r} does not have; take both files from the '
                    'same release, with ids of the same type'
                )
        image, annotation = images[ref['image_id']], annotations[ref['ann_id']]
        owner = annotation.get('image_id')
        if is_id(owner) and owner != image['id']:
            raise ValueError(
                f'{whose} is on image {image["id"]!r}, but its annotation {annotation["id"]!r} in {self.ann_file!r} is '
                f'on image {owner!r}; take both files from the same release'
            )
        return image, annotation

    def _item(self, image: dict) -> Item:
        size = check_image(image, path=self.ann_file)
        where = f"image {image['id']!r} of ann_file {self.ann_file!r}, key 'file_name'"
        path = self.image_path(image['file_name'], where=where)
        return Item(img_path=path, img_id=image['id'], annotated_size=size)

    def _log_outside(self, fractions: dict[Id, float]) -> None:
        outside = {key: part for key, part in fractions.items() if part > MUCH_OUTSIDE}
        if outside:
            worst = max(outside, key=outside.__getitem__)
            message = (
                f'{self.name}: of {len(outside)} masks of {self.ann_file!r} more than {MUCH_OUTSIDE:.0%} lies outside '
                f'the image, of annotation {worst!r} {outside[worst]:.0%}; the part inside is taken. '
                'Check that coordinates are in px of the image that height and width describe'
            )
            print_log(message, logger='current', level=logging.WARNING)
