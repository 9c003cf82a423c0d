"""Read COCO's ``panoptic_*.json``, and check what is used of it."""

import re
import reprlib
from dataclasses import dataclass
from typing import Any

from flmm.datasets.annotation_file import Id, check_entry, entries_by_id, is_id
from flmm.datasets.instances_file import check_image
from flmm.json_files import read_json

NUM_COLOURS = 256**3
"""Ids of segments are colours of the panoptic picture, which are fewer; 0 is no segment."""


def to_number(value: Any) -> int | None:
    """Return an id of PNG or COCO panoptic, which stands as integer or as string of digits; None where it is neither.

    >>> to_number('39769'), to_number(39769), to_number('cat')
    (39769, 39769, None)
    """
    if isinstance(value, str) and re.fullmatch('[0-9]{1,18}', value):
        return int(value)
    return value if isinstance(value, int) and is_id(value) else None


@dataclass(frozen=True, kw_only=True)
class PanopticImage:
    """An image that is cut into segments.

    Args:
        file_name: The name of the image file.
        picture_name: The name of the panoptic picture, whose colours are ids of segments.
        size: (height, width) in px; None where the file does not say it.
        things: Segment id -> whether it is a thing, which can be counted, or else stuff, such as sky.
    """

    file_name: str
    picture_name: str
    size: tuple[int, int] | None
    things: dict[int, bool]


class PanopticFile:
    """The content of a ``panoptic_*.json``. An image is checked when it is asked for.

    Args:
        path: The panoptic JSON file.

    Raises:
        ValueError: the file is missing, is not JSON, is not COCO's panoptic layout, or has one id twice.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        content = read_json(path, setting='panoptic_file')
        lists = ('images', 'annotations', 'categories')
        if not isinstance(content, dict) or not set(lists) <= content.keys():
            raise ValueError(
                f"panoptic_file {path!r} has no {', '.join(map(repr, lists))}; expected COCO's panoptic_*.json"
            )
        found = [
            entries_by_id(content, name, key=key, about=about, where=f'panoptic_file {path!r}')
            for name, key, about in zip(
                lists, ('id', 'image_id', 'id'), ('file_name', 'file_name', 'name'), strict=True
            )
        ]
        self._images, self._annotations = (
            _by_number(entries, where=f'{name!r} of panoptic_file {path!r}')
            for name, entries in zip(lists[:2], found[:2], strict=True)
        )
        self._things = {}
        for key, category in found[2].items():
            if category.get('isthing') not in (0, 1):
                raise ValueError(
                    f'category {key!r} of panoptic_file {path!r} has isthing {reprlib.repr(category.get("isthing"))}, '
                    'expected 0 (stuff) or 1 (a thing)'
                )
            self._things[key] = bool(category['isthing'])

    def image(self, image_id: Any, *, where: str) -> PanopticImage:
        """Return an image with its segments.

        Args:
            image_id: integer, or string of digits.
            where: names the entry that asks, for messages.

        Raises:
            ValueError: the image is not there, has no segments, or an entry lacks what it must have.
        """
        number = to_number(image_id)
        if number is None:
            raise ValueError(
                f'{where} has image_id {reprlib.repr(image_id)}, expected an integer or a string of digits'
            )
        for name, entries in (('images', self._images), ('annotations', self._annotations)):
            if number not in entries:
                raise ValueError(
                    f'{where} has image_id {image_id!r}, which {name!r} of panoptic_file {self.path!r} does not have; '
                    'take both files of the same release and split'
                )
        image, annotation = self._images[number], self._annotations[number]
        size = check_image(image, path=self.path, setting='panoptic_file')
        whose = f"entry of image {number} in 'annotations' of panoptic_file {self.path!r}"
        check_entry(annotation, keys=['file_name', 'segments_info'], where=whose)
        segments, things = annotation['segments_info'], {}
        if not isinstance(segments, list):
            raise ValueError(f'{whose} has segments_info {reprlib.repr(segments)}, expected a list of dicts')
        for index, segment in enumerate(segments):
            segment_id, thing = self._segment(segment, where=f'segment {index} of the {whose}')
            if segment_id in things:
                raise ValueError(f'{whose} has segment {segment_id} twice; remove one, or get the original file again')
            things[segment_id] = thing
        return PanopticImage(
            file_name=image['file_name'], picture_name=annotation['file_name'], size=size, things=things
        )

    def _segment(self, segment: Any, *, where: str) -> tuple[int, bool]:
        check_entry(segment, keys=['id', 'category_id'], where=where)
        number, category_id = to_number(segment['id']), segment['category_id']
        if number is None or not 0 < number < NUM_COLOURS:
            raise ValueError(f'{where} has id {segment["id"]!r}, expected a colour, R + 256 G + 65536 B, that is not 0')
        if category_id not in self._things:
            raise ValueError(
                f"{where} has category_id {category_id!r}, which is none of 'categories'; mend it, or get "
                'the original file again'
            )
        return number, self._things[category_id]


def _by_number(entries: dict[Id, dict], *, where: str) -> dict[int, dict]:
    found: dict[int, tuple[Id, dict]] = {}
    for key, entry in entries.items():
        number = to_number(key)
        if number is None:
            raise ValueError(f'{where} has the image {key!r}, expected an integer or a string of digits')
        if number in found:
            raise ValueError(
                f'{where} has id {found[number][0]!r} and {key!r} twice; remove one, or get the original file again'
            )
        found[number] = (key, entry)
    return {number: entry for number, (_, entry) in found.items()}
