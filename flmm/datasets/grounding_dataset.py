"""What all datasets of this package have in common: an item is an image with phrases, each with its mask or none."""

import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from flmm.datasets.annotation_file import Id
from flmm.files import path_below
from flmm.structures import PhraseInfo

TEXT_MODES = ('select_first', 'original', 'random', 'concat')


@dataclass(kw_only=True)
class Target:
    """What phrases mean in an image.

    Args:
        texts: the phrases, each with what is said of it. All mean the same.
        mask: polygons or an RLE; a file (:mod:`flmm.datasets.mask_files`); None where they mean nothing in the image.
        ignore: what no metric counts, in one of these forms; None for nothing.
        ann_id: names the annotation in messages.
    """

    texts: list[tuple[str, PhraseInfo]]
    mask: list | dict | None
    ignore: list | dict | None = None
    ann_id: Id | list[Id] | None = None


@dataclass(kw_only=True)
class Item:
    """An image and what is said of it.

    Args:
        img_path: where the image lies.
        img_id: its id in the annotations.
        annotated_size: (height, width) in px that masks were drawn on; None where only the image says it.
        targets: in the order in which they become phrases.
    """

    img_path: str
    img_id: Id
    annotated_size: tuple[int, int] | None
    targets: list[Target] = field(default_factory=list)


class GroundingDataset(BaseDataset):
    """A dataset of images with phrases, in mmengine's form; a subclass reads one layout (:meth:`load_items`).

    The pipeline gets of each item: ``img_path``, ``img_id``, ``annotated_size``, ``dataset_name``, ``sample_idx``, and
    of equal length, one for each phrase, ``text``, ``phrase_infos`` (:class:`flmm.structures.PhraseInfo`) and
    ``instances`` (``mask`` and ``ignore`` as in :class:`Target`, ``ann_id``, ``ignore_flag`` 0). Texts are handed on as
    written, since RefCOCO2PNG prepares all text. ``text_mode='random'`` draws anew at every access.

    Args:
        name: names the dataset in results, such as 'refcoco_val_first_sentence'.
        text_mode: which texts of a target become phrases. 'select_first' (F-LMM's protocol), 'original' (each a phrase
            of its own), 'random' (one drawn at each access) or 'concat' (all joined to one phrase, blanks between).
        allow_outside: whether a name of an image may lead out of the image folder: be absolute, hold '..', or be a
            link.
        **kwargs: mmengine's BaseDataset's: data_root, ann_file, data_prefix, pipeline, ...

    Raises:
        ValueError: an unknown text_mode, or whatever the subclass raises.
    """

    def __init__(self, *, name: str, text_mode: str, allow_outside: bool = False, **kwargs: Any) -> None:
        if text_mode not in TEXT_MODES:
            raise ValueError(f'text_mode is {text_mode!r}, expected one of {TEXT_MODES}')
        self.name, self.text_mode, self.allow_outside = name, text_mode, allow_outside
        super().__init__(**kwargs)

    def load_items(self) -> list[Item]:
        """Read and check all annotations."""
        raise NotImplementedError

    def load_data_list(self) -> list[dict]:
        """Return the items as mmengine keeps them."""
        return [vars(item) for item in self.load_items()]

    def image_path(self, file_name: str, *, where: str) -> str:
        """Join the image folder (``data_prefix['img_path']``) and a name.

        Args:
            file_name: as the annotations have it.
            where: names file and entry, for messages.

        Raises:
            ValueError: it leads out of the folder, or is no name.
        """
        try:
            return path_below(self.data_prefix['img_path'], file_name, allow_outside=self.allow_outside)
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error

    def log_left_out(self, counts: Mapping[str, int], *, source: str) -> None:
        """Write to the log what was left out, such as ``{'captions without a mask': 3}``; nothing where all are 0."""
        found = [f'{count} {what}' for what, count in counts.items() if count]
        if found:
            message = f'{self.name}: left out {", ".join(found)} of {source}'
            print_log(message, logger='current', level=logging.WARNING)

    def num_image_tokens(self) -> list[int]:
        """How many image tokens each item has, as the image processor of the pipeline counts them by annotated size.

        Raises:
            ValueError: the pipeline does not end in RefCOCO2PNG with ``concat=True``, the size of an image is not
                known, or it has an aspect ratio over 200.
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
            if item['annotated_size'] is None:
                raise ValueError(
                    f'image {item["img_path"]!r}: its annotation does not say its size, by which tokens are counted; '
                    'add height and width'
                )
            try:
                counts.append(processor.num_image_tokens(*item['annotated_size']))
            except ValueError as error:
                raise ValueError(f'image {item["img_path"]!r}: {error}; crop it, or leave it out') from error
        return counts

    def get_data_info(self, idx: int) -> dict:
        """Return item ``idx`` as the pipeline gets it."""
        item = super().get_data_info(idx)
        pairs = [(target, *text) for target in item.pop('targets') for text in self._chosen(target.texts)]
        if item['annotated_size'] is None:
            del item['annotated_size']
        item['dataset_name'] = self.name
        item['text'] = [text for _, text, _ in pairs]
        item['phrase_infos'] = [info for _, _, info in pairs]
        item['instances'] = [
            {'mask': target.mask, 'ignore': target.ignore, 'ann_id': target.ann_id, 'ignore_flag': 0}
            for target, _, _ in pairs
        ]
        return item

    def _chosen(self, texts: list[tuple[str, PhraseInfo]]) -> list[tuple[str, PhraseInfo]]:
        if self.text_mode == 'select_first':
            return texts[:1]
        if self.text_mode == 'random':
            return [random.choice(texts)]
        if self.text_mode == 'concat':
            return [(' '.join(text for text, _ in texts), PhraseInfo())]
        return texts
