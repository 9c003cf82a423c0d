"""RefCOCO, RefCOCO+ and RefCOCOg: mmdet's dataset, safely read, and its test sets."""

import collections
import random
from pathlib import Path
from typing import Any

import mmengine
from mmdet.datasets import RefCocoDataset as MMDetRefCocoDataset

from flmm.datasets.refs_file import load_refs
from flmm.files import path_below
from flmm.registry import DATASETS


@DATASETS.register_module()
class RefCocoDataset(MMDetRefCocoDataset):
    """mmdet's RefCocoDataset: an item is an image with the objects referred to in it and their phrases.

    It differs in what follows: the refs pickle cannot run code; ``text_mode='random'`` draws anew at every access, not
    once at loading; 'concat' puts a space between sentences; two refs to one object give both, not the last; items
    keep the order of the refs file; and an item says where it comes from (``dataset_name``, ``text_kinds``).

    Args:
        name: names the test set in results, such as 'refcoco_val_first_sentence'. Defaults to the split's name.
        text_mode: which sentences of a ref become phrases. 'select_first' (F-LMM's protocol), 'original' (each sentence
            a phrase of its own), 'random' (one drawn at each access) or 'concat' (all joined to one phrase).
        allow_outside: whether a ``file_name`` may lead out of the image folder: be absolute, hold '..', or be a link.
        **kwargs: mmdet's: data_root, ann_file, split_file, data_prefix, split, pipeline, ...

    Raises:
        ValueError: a file is missing or malformed, or the split holds no sample.
    """

    def __init__(
        self, *, name: str | None = None, text_mode: str = 'random', allow_outside: bool = False, **kwargs: Any
    ) -> None:
        modes = ('select_first', 'original', 'random', 'concat')
        if text_mode not in modes:
            raise ValueError(f'text_mode is {text_mode!r}, expected one of {modes}')
        self.allow_outside = allow_outside
        self.name = name if name is not None else kwargs.get('split', 'train')
        super().__init__(text_mode=text_mode, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read both annotation files; return an item for each image that has refs in the split."""
        refs = [ref for ref in load_refs(self.split_file) if ref['split'] == self.split]
        if not refs:
            raise ValueError(f'no sample in split {self.split!r} of {self.split_file!r}; check split and split_file')
        if not Path(self.ann_file).is_file():
            raise ValueError(f'ann_file {self.ann_file!r} does not exist; download the RefCOCO annotations there')
        try:
            instances = mmengine.load(self.ann_file, file_format='json')
        except ValueError as error:
            raise ValueError(f'ann_file {self.ann_file!r} is not JSON ({error}); download it again') from error
        if not isinstance(instances, dict) or not {'images', 'annotations'} <= instances.keys():
            raise ValueError(f"ann_file {self.ann_file!r} has no 'images' and 'annotations'; expected COCO's instances")
        images = {image['id']: image for image in instances['images']}
        annotations = {annotation['id']: annotation for annotation in instances['annotations']}

        refs_of_image = collections.defaultdict(list)
        for ref in refs:
            for key, known in (('image_id', images), ('ann_id', annotations)):
                if ref[key] not in known:
                    raise ValueError(
                        f'ref {ref["ref_id"]} of {self.split_file!r} has {key} {ref[key]}, which {self.ann_file!r} '
                        'does not have; take both files from the same release'
                    )
            owner = annotations[ref['ann_id']].get('image_id', ref['image_id'])
            if owner != ref['image_id']:
                raise ValueError(
                    f'ref {ref["ref_id"]} of {self.split_file!r} is on image {ref["image_id"]}, but its annotation '
                    f'{ref["ann_id"]} in {self.ann_file!r} is on image {owner}; take both files from the same release'
                )
            refs_of_image[ref['image_id']].append(ref)
        return [self._item(images[key], found, annotations) for key, found in refs_of_image.items()]

    def _item(self, image: dict, refs: list[dict], annotations: dict[int, dict]) -> dict:
        targets = []
        for ref in refs:
            sentences = [(sentence['raw'].lower(), sentence.get('kind')) for sentence in ref['sentences']]
            if self.text_mode == 'select_first':
                sentences = sentences[:1]
            elif self.text_mode == 'concat':
                sentences = [(' '.join(text for text, _ in sentences), None)]
            mask = annotations[ref['ann_id']]['segmentation']
            targets.append({'mask': mask, 'ann_id': ref['ann_id'], 'sentences': sentences})
        return {
            'img_path': path_below(self.data_prefix['img_path'], image['file_name'], allow_outside=self.allow_outside),
            'img_id': image['id'],
            'image_size': (image.get('height'), image.get('width')),
            'dataset_name': self.name,
            'targets': targets,
        }

    def num_image_tokens(self) -> list[int]:
        """How many image tokens each item has, as the image processor of the pipeline counts them by size.

        Raises:
            ValueError: the annotations lack the size of an image, or the pipeline does not end in RefCOCO2PNG with
                ``concat=True``.
        """
        to_sample = self.pipeline.transforms[-1]
        if not getattr(to_sample, 'concat', False):
            raise ValueError(
                'image tokens are counted for items that are one sample each: let the pipeline end in '
                'RefCOCO2PNG(concat=True)'
            )
        processor = to_sample.image_processor
        items = [super(RefCocoDataset, self).get_data_info(index) for index in range(len(self))]
        for item in items:
            if None in item['image_size']:
                raise ValueError(f'ann_file {self.ann_file!r} lacks height and width of {item["img_path"]!r}; add them')
        return [processor.num_image_tokens(*item['image_size']) for item in items]

    def get_data_info(self, idx: int) -> dict:
        """Return item ``idx`` in mmdet's form: ``text`` and ``instances`` of equal length, one pair for each phrase."""
        item = super().get_data_info(idx)
        del item['image_size']  # that of the image as read counts
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
