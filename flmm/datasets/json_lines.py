"""Data of one's own in one documented format, JSON lines: a line is an image with its phrases (docs/custom_data.md)."""

import os
import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flmm.datasets.annotation_file import check_split
from flmm.datasets.grounding_dataset import GroundingDataset
from flmm.datasets.item import Item, Target
from flmm.datasets.json_lines_checks import MASK_FORMS, check_line, check_phrase
from flmm.datasets.masks import encode_mask, fraction_outside
from flmm.files import path_below
from flmm.json_files import read_json_lines
from flmm.registry import DATASETS
from flmm.structures import PhraseInfo


@dataclass
class _Findings:
    """What the log says of the masks of a file."""

    polygons_left_out: int = 0
    fractions_outside: dict[str, float] = field(default_factory=dict)


@DATASETS.register_module()
class JsonLinesDataset(GroundingDataset):
    """Images and phrases of a JSON lines file.

    A line is an object with ``image`` (its path below ``data_prefix['img_path']``), ``phrases``, and where wanted
    ``height`` and ``width`` in px, ``split``, ``id``, by which several lines of one image are told apart, and
    ``caption`` (as in :class:`flmm.datasets.item.Item`), which the phrases are part of. Each of
    ``phrases`` is an object with ``phrase``, a string or several of one meaning; and ``polygons`` ([x, y, x, y, ...]
    in px), ``rle`` (COCO's), ``png`` (the path of a file in which the mask is not 0), whose union is the mask, or
    ``no_target: true``. It may have ``ignore`` (an object with such masks), ``kind`` (a string, or one for each string
    of ``phrase``), ``thing`` and ``plural`` (true or false).

    >>> JsonLinesDataset(data_root='data/mine', ann_file='data.jsonl', data_prefix=dict(img_path='images'))

    Args:
        ann_file: the file, below data_root.
        split: takes the lines that have it as ``split``. None takes all lines.
        name: names the test set in results. Defaults to the split, or to the file's name without its ending.
        text_mode: which strings of ``phrase`` are taken, as in :class:`GroundingDataset`.
        **kwargs: GroundingDataset's: data_root, data_prefix, pipeline, ... ``data_prefix['mask_path']`` is the folder
            of PNG files, by default that of ``ann_file``.

    Raises:
        ValueError: the file is missing or malformed, a mask is empty, an image has two lines without ``id``, or the
            split has no line. The message names file, line, phrase and key.
    """

    def __init__(
        self,
        *,
        ann_file: str,
        split: str | None = None,
        name: str | None = None,
        text_mode: str = 'random',
        **kwargs: Any,
    ) -> None:
        self.split = split
        super().__init__(name=name or split or Path(ann_file).stem, text_mode=text_mode, ann_file=ann_file, **kwargs)

    def load_items(self) -> list[Item]:
        """Read the file and check every line; return an item for each of the split."""
        items: list[Item] = []
        lines: dict[str, dict[str | None, str]] = {}  # image -> id -> where
        splits: set[str] = set()
        findings = _Findings()
        for where, line in read_json_lines(self.ann_file, setting='ann_file'):
            check_line(line, where=where)
            _check_unique(line, lines.setdefault(posixpath.normpath(line['image']), {}), where=where)
            if self.split is not None and line.get('split') is None:
                raise ValueError(f'{where} has no split, and {self.split!r} is asked for; add it, or set split=None')
            splits.add(str(line.get('split')))
            if self.split in (None, line.get('split')):
                items.append(self._item(line, findings, where=where))
        if not items:
            found = f'no line of split {self.split!r}, but of {sorted(splits)}' if splits else 'no line'
            raise ValueError(f'ann_file {self.ann_file!r} has {found}; check ann_file and split')
        if self.split is not None:
            check_split(self.split, splits, where=f'ann_file {self.ann_file!r}')
        left_out = {'polygons that draw nothing': findings.polygons_left_out}
        self.log_left_out(left_out, source=repr(self.ann_file))
        self.log_outside(findings.fractions_outside, source=repr(self.ann_file))
        return items

    def _item(self, line: dict, findings: _Findings, *, where: str) -> Item:
        path = self.image_path(line['image'], where=f"{where}, key 'image'")
        img_id = line['image'] if line.get('id') is None else line['id']
        names = [f'phrase {number} of {where}' for number, _ in enumerate(line['phrases'], start=1)]
        for phrase, name in zip(line['phrases'], names, strict=True):
            check_phrase(phrase, where=name)
        size = None if line.get('height') is None else (line['height'], line['width'])
        if size is None:  # an RLE knows what it was drawn on
            size = next((tuple(phrase['rle']['size']) for phrase in line['phrases'] if 'rle' in phrase), None)
        item = Item(img_path=path, img_id=img_id, annotated_size=size, caption=line.get('caption'))
        for phrase, name in zip(line['phrases'], names, strict=True):
            mask, ignore = (
                self._mask(masks, findings, size=size, where=whose) if masks else None
                for masks, whose in ((phrase, name), (phrase.get('ignore'), f'ignore of {name}'))
            )
            item.targets.append(Target(texts=_texts(phrase), mask=mask, ignore=ignore, ann_id=name))
        return item

    def _mask(
        self, masks: dict, findings: _Findings, *, size: tuple[int, int] | None, where: str
    ) -> list | dict | None:
        """Return what LoadMasks reads; None of a phrase without target."""
        parts: list[list | dict] = []
        for key in MASK_FORMS:
            if key not in masks:
                continue
            part = masks[key]
            if key == 'png':
                part = {'png': self._mask_path(part, where=f'{where}, key {key!r}')}
            elif size is not None:  # else LoadMasks checks it, on the picture
                try:
                    _, left_out = encode_mask(part, size=size)
                except ValueError as error:
                    raise ValueError(f'{where}: {key} {error}; expected {MASK_FORMS[key]}') from error
                findings.polygons_left_out += len(left_out)
                part = [polygon for index, polygon in enumerate(part) if index not in left_out] if left_out else part
                if key == 'polygons':
                    findings.fractions_outside[where] = fraction_outside(part, size=size)
            parts.append(part)
        if len(parts) > 1:
            return {'union': parts}
        return parts[0] if parts else None

    def _mask_path(self, name: str, *, where: str) -> str:
        folder = self.data_prefix.get('mask_path', os.path.dirname(self.ann_file))
        try:
            return path_below(folder, name, allow_outside=self.allow_outside)
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error


def _check_unique(line: dict, others: dict[str | None, str], *, where: str) -> None:
    """Check that the lines of one image are told apart, and add this one to the ``others`` (id -> where)."""
    own = None if line.get('id') is None else str(line['id'])
    clashing = [other for key, other in others.items() if key == own or None in (key, own)]
    if clashing:
        raise ValueError(
            f'{where} has the image {line["image"]!r}, as {clashing[0]} has; put all of its phrases into one line, or '
            'give each an id of its own if they are to be read apart'
        )
    others[own] = where


def _texts(phrase: dict) -> list[tuple[str, PhraseInfo]]:
    wordings = [phrase['phrase']] if isinstance(phrase['phrase'], str) else phrase['phrase']
    kinds = phrase.get('kind')
    kinds = kinds if isinstance(kinds, list) else [kinds] * len(wordings)
    return [
        (text, PhraseInfo(kind=kind, thing=phrase.get('thing'), plural=phrase.get('plural')))
        for text, kind in zip(wordings, kinds, strict=True)
    ]
