"""What all datasets of this package have in common: an item is an image with phrases, each with its mask or none."""

import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from flmm.datasets.annotation_file import Id
from flmm.datasets.dataset_settings import check_dataset_settings
from flmm.datasets.item import Item, SkippedItem
from flmm.files import path_below
from flmm.structures import PhraseInfo

TEXT_MODES = ('select_first', 'original', 'random', 'concat')
MUCH_OUTSIDE = 0.1
"""Which part of a mask's area may lie outside the image without a word. COCO's polygons stick out by a pixel."""


class GroundingDataset(BaseDataset):
    """A dataset of images with phrases, in mmengine's form; a subclass reads one layout (:meth:`load_items`).

    The pipeline gets of each item: ``img_path``, ``img_id``, ``annotated_size``, ``dataset_name``, ``sample_idx``, and
    of equal length, one for each phrase, ``text``, ``phrase_infos`` (:class:`flmm.structures.PhraseInfo`) and
    ``instances`` (``mask`` and ``ignore`` as in :class:`Target`, ``ann_id``, ``ignore_flag`` 0); and ``caption``, where
    there is one, with the numbers of its phrases. Texts are handed on as written, since RefCOCO2PNG prepares all text.
    ``text_mode='random'`` draws anew at every access.

    Args:
        name: names the dataset in results, such as 'refcoco_val_first_sentence'.
        text_mode: which texts of a target become phrases. 'select_first' (F-LMM's protocol), 'original' (each a phrase
            of its own), 'random' (one drawn at each access; not with ``test_mode``) or 'concat' (all joined to one
            phrase, blanks between, of which is said what is said of all of them).
        allow_outside: whether a name of an image may lead out of the image folder: be absolute, hold '..', or be a
            link.
        max_skipped: the share of items, 0 to below 1, that training may leave out since no sample can be made of them,
            such as those whose image is truncated. 0 stops at the first. Each is counted and logged, and more end the
            run (:class:`flmm.engine.SkippedItemsHook`). Annotations are all checked before training, and an error in
            them ends it whatever is set here.
        **kwargs: mmengine's BaseDataset's: data_root, ann_file, data_prefix, pipeline, ... Nothing is filtered or
            fetched again, so filter_cfg and max_refetch are refused.

    Raises:
        ValueError: an unknown text_mode, one that draws at random in a test, max_skipped out of its range or in a test,
            a data_prefix that lacks a folder, or whatever the subclass raises.
    """

    FOLDERS: ClassVar[tuple[str, ...]] = ('img_path',)
    """Keys that data_prefix must have."""

    def __init__(
        self, *, name: str, text_mode: str, allow_outside: bool = False, max_skipped: float = 0.0, **kwargs: Any
    ) -> None:
        if text_mode not in TEXT_MODES:
            raise ValueError(f'text_mode is {text_mode!r}, expected one of {TEXT_MODES}')
        if text_mode == 'random' and kwargs.get('test_mode'):
            raise ValueError(
                f"dataset {name!r} has test_mode=True and text_mode='random', by which every test would have other "
                "phrases; set text_mode to 'select_first' or 'original'"
            )
        if isinstance(max_skipped, bool) or not isinstance(max_skipped, (int, float)) or not 0 <= max_skipped < 1:
            raise ValueError(f'max_skipped is {max_skipped!r}, expected a share from 0 to below 1, such as 0.01')
        if max_skipped and kwargs.get('test_mode'):
            raise ValueError(
                f'dataset {name!r} has test_mode=True and max_skipped={max_skipped}, by which figures would be '
                'of other data than their name says; mend the data, or take what is broken out of the annotations'
            )
        check_dataset_settings(kwargs, name=name, folders=self.FOLDERS, without_effect=('filter_cfg', 'max_refetch'))
        self.name, self.text_mode, self.allow_outside = name, text_mode, allow_outside
        self.max_skipped = max_skipped
        super().__init__(**kwargs)

    @property
    def names(self) -> list[str]:
        """The names by which results are reported: its own alone."""
        return [self.name]

    def load_items(self) -> list[Item]:
        """Read and check all annotations."""
        raise NotImplementedError

    def load_data_list(self) -> list[dict]:
        """Return the items as mmengine keeps them."""
        return [vars(item) for item in self.load_items()]

    def image_path(self, file_name: str, *, where: str, folder: str = 'img_path') -> str:
        """Join the image folder and a name.

        Args:
            file_name: The name of the image file in the annotations.
            where: names file and entry, for messages.
            folder: the key of ``data_prefix`` that names the folder.

        Raises:
            ValueError: it leads out of the folder, or is no name.
        """
        try:
            return path_below(self.data_prefix[folder], file_name, allow_outside=self.allow_outside)
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error

    def log_left_out(self, counts: Mapping[str, int], *, source: str) -> None:
        """Write to the log what was left out, such as ``{'captions without a mask': 3}``; nothing where all are 0."""
        found = [f'{count} {what}' for what, count in counts.items() if count]
        if found:
            message = f'{self.name}: left out {", ".join(found)} of {source}'
            print_log(message, logger='current', level=logging.WARNING)

    def log_outside(self, fractions: Mapping[Id, float], *, source: str) -> None:
        """Write to the log how many masks lie outside their image by more than :data:`MUCH_OUTSIDE`, if any do.

        Args:
            fractions: name of an annotation -> which part of its mask's area lies outside, 0 to 1.
            source: the file of annotations.
        """
        outside = {key: part for key, part in fractions.items() if part > MUCH_OUTSIDE}
        if outside:
            worst = max(outside, key=outside.__getitem__)
            message = (
                f'{self.name}: of {len(outside)} masks of {source} more than {MUCH_OUTSIDE:.0%} lies outside '
                f'the image, of annotation {worst!r} {outside[worst]:.0%}; the part inside is taken. '
                'Check that coordinates are in px of the image that height and width describe'
            )
            print_log(message, logger='current', level=logging.WARNING)

    def num_image_tokens(self) -> list[int]:
        """How many image tokens each item has, as the image processor of the pipeline counts them by annotated size.

        Raises:
            ValueError: the pipeline does not end in RefCOCO2PNG with ``concat=True``, the size of an image is not
                known, or it has an aspect ratio over 200.
        """
        to_sample = next(reversed(self.pipeline.transforms), None)
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

    def prepare_data(self, idx: int) -> Any:
        """Return what the pipeline makes of item ``idx``: samples, or a SkippedItem where ``max_skipped`` allows it.

        Raises:
            ValueError: no sample can be made of the item, which the message names, and ``max_skipped`` is 0; or a
                transform gives None, for which mmengine would take another item at random.
        """
        try:
            made = super().prepare_data(idx)
        except ValueError as error:
            # An error that does not name the image is not known to be of its data: it may be one of the program.
            if not self.max_skipped or repr(super().get_data_info(idx)['img_path']) not in str(error):
                raise
            return SkippedItem(reason=str(error))
        if made is None:
            raise ValueError(
                f'item {idx} of {self.name!r} (image {super().get_data_info(idx)["img_path"]!r}) became None in the '
                'pipeline; leave out the transform that drops items, or the item itself'
            )
        return made

    def get_data_info(self, idx: int) -> dict:
        """Return item ``idx`` as the pipeline gets it."""
        item = super().get_data_info(idx)
        pairs = [(target, *text) for target in item.pop('targets') for text in self._chosen(target.texts)]
        for key in ('annotated_size', 'caption'):
            if item[key] is None:
                del item[key]
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
            return [(' '.join(text for text, _ in texts), _common_info([info for _, info in texts]))]
        return texts


def _common_info(infos: Sequence[PhraseInfo]) -> PhraseInfo:
    """Return what all say alike; None where they differ."""
    first = vars(infos[0])
    return PhraseInfo(
        **{key: value if all(vars(info)[key] == value for info in infos) else None for key, value in first.items()}
    )
