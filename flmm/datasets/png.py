"""Panoptic Narrative Grounding (PNG), safely read."""

import collections
import os
import reprlib
from typing import Any, ClassVar

from flmm.datasets.annotation_file import check_entry
from flmm.datasets.grounding_dataset import GroundingDataset
from flmm.datasets.item import Item, Target
from flmm.datasets.panoptic_file import PanopticFile, PanopticImage, to_number
from flmm.json_files import read_json
from flmm.registry import DATASETS
from flmm.structures import PhraseInfo
from flmm.text import WordlessPhraseError, check_text, prepare_phrase


@DATASETS.register_module()
class PNGDataset(GroundingDataset):
    """PNG (Gonzalez et al., ICCV 2021): an item is a caption, whose phrases are segments of a COCO panoptic picture.

    A phrase is a part of the caption with ``segment_ids``, in order; several ids are the union of these segments. The
    other parts are context (``caption`` of :class:`Item`). Captions without any mask are left out when the files are
    read, and the log counts them. Whatever is read of both JSON files is checked then; panoptic pictures are opened
    when an item is loaded (LoadMasks), where each segment must have a pixel.

    A phrase is ``plural`` as the file says, and a ``thing`` where it is plural or its segment is one.

    Args:
        panoptic_file: COCO's ``panoptic_*.json``, below data_root.
        data_prefix: folders below data_root: 'img_path', of the images, and 'panoptic_path', of the panoptic pictures.
        name: names the dataset in results.
        skip_wordless: True reads phrases without letter or digit as context, and the log counts them. False makes them
            an error.
        **kwargs: GroundingDataset's: data_root, ann_file (``png_coco_*.json``), pipeline, ...

    Raises:
        ValueError: a file is missing or malformed, an id is unknown or there twice, a singular has several segments, or
            no caption has a mask. The message names file, entry and key.

    >>> dataset = PNGDataset(
    ...     data_root='data/coco',
    ...     ann_file='annotations/png_coco_val2017.json',
    ...     panoptic_file='annotations/panoptic_val2017.json',
    ...     data_prefix={'img_path': 'val2017/', 'panoptic_path': 'annotations/panoptic_val2017/'},
    ... )
    """

    FOLDERS: ClassVar[tuple[str, ...]] = ('img_path', 'panoptic_path')

    def __init__(
        self,
        *,
        panoptic_file: str,
        name: str = 'png',
        skip_wordless: bool = False,
        **kwargs: Any,
    ) -> None:
        self.panoptic_file, self.skip_wordless = panoptic_file, skip_wordless
        super().__init__(name=name, text_mode='original', **kwargs)

    def _join_prefix(self) -> None:
        super()._join_prefix()
        self.panoptic_file = os.path.join(self.data_root or '', self.panoptic_file)

    def load_items(self) -> list[Item]:
        """Read both files of annotations; return an item for each caption that has a mask."""
        panoptic = PanopticFile(self.panoptic_file)
        narratives = read_json(self.ann_file, setting='ann_file')
        if not isinstance(narratives, list):
            raise ValueError(
                f'ann_file {self.ann_file!r} is {reprlib.repr(narratives)}, expected a list of narratives, as '
                'png_coco_*.json is'
            )
        items: list[Item] = []
        images: dict[int, tuple[PanopticImage, str, str]] = {}  # an image has several captions
        left_out: collections.Counter[str] = collections.Counter()
        for index, narrative in enumerate(narratives):
            where = f'entry {index} of ann_file {self.ann_file!r}'
            check_entry(narrative, keys=['image_id', 'segments'], where=where)
            number = to_number(narrative['image_id'])
            if number not in images:
                images[number] = self._image(panoptic, narrative['image_id'], where=where)
            image, img_path, picture_path = images[number]
            item = Item(img_path=img_path, img_id=number, annotated_size=image.size, caption=[])
            if not isinstance(narrative['segments'], list):
                raise ValueError(
                    f'{where} has segments {reprlib.repr(narrative["segments"])}, expected a list of dicts'
                )
            for position, segment in enumerate(narrative['segments']):
                phrase = self._phrase(segment, image, left_out, where=f'segment {position} of {where}')
                if phrase is None:
                    item.caption.append(segment['utterance'])
                else:
                    info, ids = phrase
                    item.caption.append(len(item.targets))
                    mask = {'panoptic': picture_path, 'ids': ids}
                    item.targets.append(Target(texts=[(segment['utterance'], info)], mask=mask, ann_id=ids))
            if item.targets:
                items.append(item)
        left_out['captions without a mask'] = len(narratives) - len(items)
        self.log_left_out(left_out, source=repr(self.ann_file))
        if not items:
            raise ValueError(f'no caption of ann_file {self.ann_file!r} has a mask; check that it is the right file')
        return items

    def _image(self, panoptic: PanopticFile, image_id: int | str, *, where: str) -> tuple[PanopticImage, str, str]:
        image = panoptic.image(image_id, where=where)
        whose = f"image {image_id!r} of panoptic_file {self.panoptic_file!r}, key 'file_name'"
        img_path = self.image_path(image.file_name, where=whose)
        return image, img_path, self.image_path(image.picture_name, where=whose, folder='panoptic_path')

    def _phrase(
        self, segment: Any, image: PanopticImage, left_out: collections.Counter[str], *, where: str
    ) -> tuple[PhraseInfo, list[int]] | None:
        """Check a segment; return what is said of it and the ids of its mask, or None where it is context."""
        check_entry(segment, keys=['utterance', 'segment_ids'], where=where)
        utterance, given = segment['utterance'], segment['segment_ids']
        if not isinstance(given, list):
            raise ValueError(f'{where} has segment_ids {reprlib.repr(given)}, expected a list of ids, or [] for none')
        try:
            check_text(utterance)
            if given:
                prepare_phrase(utterance, lowercase=False)
        except WordlessPhraseError as error:
            if not self.skip_wordless:
                raise ValueError(
                    f"{where}, key 'utterance': {error} (skip_wordless=True takes all such for context)"
                ) from error
            left_out['masks of wordless phrases'] += 1
            return None
        except ValueError as error:
            raise ValueError(f"{where}, key 'utterance': {error}") from error
        if not given:
            return None
        for segment_id in given:
            if to_number(segment_id) not in image.things:
                raise ValueError(
                    f'{where} has segment_id {reprlib.repr(segment_id)}, which image {image.file_name!r} does not '
                    f'have in panoptic_file {self.panoptic_file!r}; take both files of the same release and split'
                )
        ids = list(dict.fromkeys(map(to_number, given)))
        left_out['segment ids that a phrase has twice'] += len(given) - len(ids)
        plural = segment.get('plural')
        if not isinstance(plural, bool):
            raise ValueError(f'{where} has plural {reprlib.repr(plural)}, expected true or false')
        if len(ids) > 1 and not plural:
            raise ValueError(f'{where} ({utterance!r}) has {len(ids)} segment_ids and plural false; a singular has one')
        # F-LMM's rule, so that figures compare: it counts plurals of stuff ("the trees") as things. PNG's own baseline
        # takes the category of a phrase's last segment; its figures for things and stuff are of slightly other phrases.
        return PhraseInfo(thing=plural or image.things[ids[0]], plural=plural), ids
