"""RefCOCO, RefCOCO+ and RefCOCOg: mmdet's dataset, safely read, and its test sets."""

import collections
import functools
import logging
import random
from typing import Any

from mmdet.datasets import RefCocoDataset as MMDetRefCocoDataset
from mmengine.logging import print_log

from flmm.datasets.annotation_file import Id, is_id
from flmm.datasets.instances_file import CheckedMask, check_annotation, check_image, load_instances
from flmm.datasets.refs_file import check_sentences, load_refs
from flmm.files import path_below
from flmm.registry import DATASETS

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
class RefCocoDataset(MMDetRefCocoDataset):
    """mmdet's RefCocoDataset: an item is an image with the objects referred to in it and their phrases.

    It differs in what follows: the refs pickle cannot run code; ``text_mode='random'`` draws anew at every access, not
    once at loading; 'concat' puts a space between sentences; two refs to one object give both, not the last; items
    keep the order of the refs file; sentences are handed on as written, since RefCOCO2PNG prepares all text; and an
    item says where it comes from (``dataset_name``, ``text_kinds``) and the (height, width) in px that its masks were
    drawn on (``annotated_size``).

    Whatever is read is checked when the files are read. Polygons that draw nothing beside others that do are left out;
    the log counts them, and masks that lie outside the image by more than a tenth of their area.

    Args:
        name: names the test set in results, such as 'refcoco_val_first_sentence'. Defaults to the split's name.
        text_mode: which sentences of a ref become phrases. 'select_first' (F-LMM's protocol), 'original' (each sentence
            a phrase of its own), 'random' (one drawn at each access) or 'concat' (all joined to one phrase).
        skip_wordless: True leaves out sentences without letter or digit, and the log counts them. False makes them an
            error.
        allow_outside: whether a ``file_name`` may lead out of the image folder: be absolute, hold '..', or be a link.
        files: reads the annotations; shared by datasets of the same files, each of which would read them anew.
        **kwargs: mmdet's: data_root, ann_file, split_file, data_prefix, split, pipeline, ...

    Raises:
        ValueError: a file is missing or malformed, an id is there twice, a mask is empty, or the split holds no sample.
            The message names file, entry and key.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        text_mode: str = 'random',
        skip_wordless: bool = False,
        allow_outside: bool = False,
        files: RefCocoFiles | None = None,
        **kwargs: Any,
    ) -> None:
        modes = ('select_first', 'original', 'random', 'concat')
        if text_mode not in modes:
            raise ValueError(f'text_mode is {text_mode!r}, expected one of {modes}')
        self.allow_outside = allow_outside
        self._files = files
        self.skip_wordless = skip_wordless
        self.name = name if name is not None else kwargs.get('split', 'train')
        super().__init__(text_mode=text_mode, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read both annotation files; return an item for each image that has refs in the split."""
        files, self._files = self._files or RefCocoFiles(), None  # not kept: workers would get a copy each
        refs = [ref for ref in files.refs(self.split_file) if ref['split'] == self.split]
        if not refs:
            raise ValueError(f'no sample in split {self.split!r} of {self.split_file!r}; check split and split_file')
        images, annotations = files.instances(self.ann_file)
        items: dict[Id, dict] = {}
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
                size = item['annotated_size']
                masks[annotation['id']] = check_annotation(annotation, path=self.ann_file, image=image, size=size)
                item['annotated_size'] = masks[annotation['id']].size
            item['targets'].append(self._target(ref, sentences, masks[annotation['id']].mask))
        left_out['polygons that draw nothing'] = sum(checked.num_left_out for checked in masks.values())
        outside = {key: checked.fraction_outside for key, checked in masks.items()}
        self._log(left_out, {key: part for key, part in outside.items() if part > MUCH_OUTSIDE})
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

    def _item(self, image: dict) -> dict:
        size = check_image(image, path=self.ann_file)
        try:
            path = path_below(self.data_prefix['img_path'], image['file_name'], allow_outside=self.allow_outside)
        except ValueError as error:
            raise ValueError(
                f"image {image['id']!r} of ann_file {self.ann_file!r}, key 'file_name': {error}"
            ) from error
        return {
            'img_path': path,
            'img_id': image['id'],
            'annotated_size': size,
            'dataset_name': self.name,
            'targets': [],
        }

    def _target(self, ref: dict, sentences: list[dict], mask: list | dict) -> dict:
        texts = [(sentence['raw'], sentence.get('kind')) for sentence in sentences]
        if self.text_mode == 'select_first':
            texts = texts[:1]
        elif self.text_mode == 'concat':
            texts = [(' '.join(text for text, _ in texts), None)]
        return {'mask': mask, 'ann_id': ref['ann_id'], 'sentences': texts}

    def _log(self, left_out: dict[str, int], outside: dict[Id, float]) -> None:
        found = [f'{count} {what}' for what, count in left_out.items() if count]
        if found:
            message = f'{self.name}: left out {", ".join(found)} of {self.split_file!r} and {self.ann_file!r}'
            print_log(message, logger='current', level=logging.WARNING)
        if outside:
            worst = max(outside, key=outside.__getitem__)
            message = (
                f'{self.name}: of {len(outside)} masks of {self.ann_file!r} more than {MUCH_OUTSIDE:.0%} lies outside '
                f'the image, of annotation {worst!r} {outside[worst]:.0%}; the part inside is taken. '
                'Check that coordinates are in px of the image that height and width describe'
            )
            print_log(message, logger='current', level=logging.WARNING)

    def num_image_tokens(self) -> list[int]:
        """How many image tokens each item has, as the image processor of the pipeline counts them by annotated size.

        Raises:
            ValueError: the pipeline does not end in RefCOCO2PNG with ``concat=True``, or an image has an aspect ratio
                over 200.
        """
        to_sample = self.pipeline.transforms[-1]
        if not getattr(to_sample, 'concat', False):
            raise ValueError(
                'image tokens are counted for items that are one sample each: let the pipeline end in '
                'RefCOCO2PNG(concat=True)'
            )
        processor = to_sample.image_processor
        counts = []
        for index in range(len(self)):
            item = super().get_data_info(index)
            try:
                counts.append(processor.num_image_tokens(*item['annotated_size']))
            except ValueError as error:
                raise ValueError(f'image {item["img_path"]!r}: {error}; crop it, or leave it out') from error
        return counts

    def get_data_info(self, idx: int) -> dict:
        """Return item ``idx`` in mmdet's form: ``text`` and ``instances`` of equal length, one pair for each phrase."""
        item = super().get_data_info(idx)
        pairs = []
        for target in item.pop('targets'):
            sentences = [random.choice(target['sentences'])] if self.text_mode == 'random' else target['sentences']
            pairs += [(target, text, kind) for text, kind in sentences]
        item['instances'] = [
            {'mask': target['mask'], 'ann_id': target['ann_id'], 'ignore_flag': 0} for target, _, _ in pairs
        ]
        item['text'] = [text for _, text, _ in pairs]
        kinds = [kind for _, _, kind in pairs]
        item['text_kinds'] = None if None in kinds else kinds
        return item
