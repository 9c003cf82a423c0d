"""RefCOCO, RefCOCO+ and RefCOCOg, safely read."""

import collections
import functools
import os
from typing import Any

from flmm.datasets.annotation_file import Id, check_split, is_id
from flmm.datasets.grounding_dataset import GroundingDataset
from flmm.datasets.instances_file import CheckedMask, check_annotation, check_image, load_instances
from flmm.datasets.item import Item, Target
from flmm.datasets.masks import unite_masks
from flmm.datasets.refs_file import check_sentences, load_grefs, load_refs
from flmm.json_files import brief
from flmm.registry import DATASETS
from flmm.structures import PhraseInfo


class RefCocoFiles:
    """Reads files of annotations, each when it is first asked for, and keeps what they say: a gigabyte for RefCOCO.

    ``refs(path)`` is :func:`flmm.datasets.refs_file.load_refs`, ``grefs(path)`` is ``load_grefs``, ``instances(path)``
    is :func:`flmm.datasets.instances_file.load_instances`. What they return must not be changed.
    """

    def __init__(self) -> None:
        self.refs = functools.cache(load_refs)
        self.grefs = functools.cache(load_grefs)
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

    def read_refs(self, files: RefCocoFiles) -> list[dict]:
        """Return the refs of all splits as the file has them."""
        return files.refs(self.split_file)

    def targets_of(self, refs: list[dict]) -> list[dict]:
        """Return refs of the split with the list of their annotations' ids as ``ann_id``; empty: no target."""
        return [{**ref, 'ann_id': [ref['ann_id']]} for ref in refs]

    def load_items(self) -> list[Item]:
        """Read both annotation files; return an item for each image that has refs in the split."""
        files, self._files = self._files or RefCocoFiles(), None  # not kept: workers would get a copy each
        every_ref = self.read_refs(files)
        splits = {ref['split'] for ref in every_ref}
        if self.split not in splits:
            raise ValueError(
                f'no sample in split {self.split!r} of {self.split_file!r}; check split and split_file: it has '
                f'{brief(sorted(splits))}'
            )
        check_split(self.split, splits, where=f'split_file {self.split_file!r}')
        refs = self.targets_of([ref for ref in every_ref if ref['split'] == self.split])
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
            image, targets = self._entries(ref, images, annotations)
            if image['id'] not in items:
                items[image['id']] = self._item(image)
            item = items[image['id']]
            for annotation in targets:
                if annotation['id'] not in masks:
                    size = item.annotated_size
                    masks[annotation['id']] = check_annotation(annotation, path=self.ann_file, image=image, size=size)
                    item.annotated_size = masks[annotation['id']].size
            texts = [(sentence['raw'], PhraseInfo(kind=sentence.get('kind'))) for sentence in sentences]
            parts = [masks[annotation['id']].mask for annotation in targets]
            mask = unite_masks(parts, size=item.annotated_size) if parts else None
            ann_id = ref['ann_id'][0] if len(ref['ann_id']) == 1 else ref['ann_id']
            item.targets.append(Target(texts=texts, mask=mask, ann_id=ann_id))
        left_out['polygons that draw nothing'] = sum(checked.num_left_out for checked in masks.values())
        self.log_left_out(left_out, source=f'{self.split_file!r} and {self.ann_file!r}')
        fractions = {key: checked.fraction_outside for key, checked in masks.items()}
        self.log_outside(fractions, source=repr(self.ann_file))
        if not items:
            raise ValueError(f'no sentence in split {self.split!r} of {self.split_file!r} has a letter or digit')
        return list(items.values())

    def _entries(self, ref: dict, images: dict[Id, dict], annotations: dict[Id, dict]) -> tuple[dict, list[dict]]:
        """Find the image of a ref, and its annotations."""
        whose = f'ref {ref["ref_id"]!r} of {self.split_file!r}'
        for key, ids, known in (('image_id', [ref['image_id']], images), ('ann_id', ref['ann_id'], annotations)):
            for each in ids:
                if each not in known:
                    raise ValueError(
                        f'{whose} has {key} {each!r}, which {self.ann_file!r} does not have; take both files from the '
                        'same release, with ids of the same type'
                    )
        image, targets = images[ref['image_id']], [annotations[each] for each in ref['ann_id']]
        for annotation in targets:
            owner = annotation.get('image_id')
            if is_id(owner) and owner != image['id']:
                raise ValueError(
                    f'{whose} is on image {image["id"]!r}, but its annotation {annotation["id"]!r} in '
                    f'{self.ann_file!r} is on image {owner!r}; take both files from the same release'
                )
        return image, targets

    def _item(self, image: dict) -> Item:
        size = check_image(image, path=self.ann_file)
        where = f"image {image['id']!r} of ann_file {self.ann_file!r}, key 'file_name'"
        path = self.image_path(image['file_name'], where=where)
        return Item(img_path=path, img_id=image['id'], annotated_size=size)
