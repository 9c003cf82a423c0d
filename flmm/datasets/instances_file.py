"""Read COCO's ``instances.json``, and check what is used of it."""

import reprlib
from typing import NamedTuple

from flmm.datasets.annotation_file import Id, check_entry, entries_by_id, is_length
from flmm.datasets.masks import encode_mask, fraction_outside
from flmm.json_files import brief, read_json


def load_instances(path: str) -> tuple[dict[Id, dict], dict[Id, dict]]:
    """Read the images and the annotations of an ``instances.json``, each by id.

    Raises:
        ValueError: the file is missing, is not JSON, has one key twice in an object, is not COCO's layout, or has one
            id twice.
    """
    instances = read_json(path, setting='ann_file')
    if not isinstance(instances, dict) or not {'images', 'annotations'} <= instances.keys():
        found = sorted(instances) if isinstance(instances, dict) else instances
        raise ValueError(
            f"ann_file {path!r} has no 'images' and 'annotations' but {brief(found)}; expected COCO's instances"
        )
    where = f'ann_file {path!r}'
    images = entries_by_id(instances, 'images', key='id', about='file_name', where=where)
    return images, entries_by_id(instances, 'annotations', key='id', about='image_id', where=where)


def check_image(image: dict, *, path: str, setting: str = 'ann_file') -> tuple[int, int] | None:
    """Check what is read of an image's entry; return its (height, width) in px, or None where it says neither.

    Args:
        image: Of :func:`load_instances`, or of a panoptic file.
        path: Of its file, for messages.
        setting: The setting that names the file.

    Raises:
        ValueError: it has no ``file_name``, or a size that is no size.
    """
    where = f'image {image["id"]!r} of {setting} {path!r}'
    check_entry(image, keys=['file_name'], where=where)
    name = image['file_name']
    if not isinstance(name, str) or not name:
        raise ValueError(f'{where} has file_name {reprlib.repr(name)}, expected the name of its file')
    size = (image.get('height'), image.get('width'))
    if size == (None, None):
        return None
    for key, value in zip(('height', 'width'), size, strict=True):
        if not is_length(value):
            raise ValueError(f'{where} ({name!r}) has {key} {reprlib.repr(value)}, expected an integer above 0, in px')
    return size


class CheckedMask(NamedTuple):
    """A mask that draws something, and what is to be said of it.

    Args:
        mask: Polygons or an RLE, without polygons that draw nothing.
        size: (height, width) in px that it was drawn on.
        num_left_out: How many polygons draw nothing.
        fraction_outside: Which part of its area lies outside the image, 0 to 1.
    """

    mask: list | dict
    size: tuple[int, int]
    num_left_out: int
    fraction_outside: float


def check_annotation(annotation: dict, *, path: str, image: dict, size: tuple[int, int] | None) -> CheckedMask:
    """Check what is read of an annotation.

    Args:
        annotation: Of :func:`load_instances`.
        path: Of its file, for messages.
        image: Its image's entry.
        size: (height, width) in px of the image as annotated. Where it is None, an RLE has its own.

    Raises:
        ValueError: it has no ``segmentation``, polygons without a size, or a mask that
            :func:`flmm.datasets.masks.encode_mask` refuses.
    """
    where = f'annotation {annotation["id"]!r} of ann_file {path!r}'
    check_entry(annotation, keys=['image_id', 'segmentation'], where=where)
    where += f' (image {image["id"]!r}, {image["file_name"]!r})'
    mask = annotation['segmentation']
    if size is None:
        stated = mask.get('size') if isinstance(mask, dict) else None
        if not isinstance(stated, list) or len(stated) != 2 or not all(map(is_length, stated)):
            raise ValueError(
                f'{where}: it is not known how large the image was that its segmentation was drawn on; add height and '
                'width to the entry of the image'
            )
        size = (stated[0], stated[1])
    try:
        _, left_out = encode_mask(mask, size=size)
    except ValueError as error:
        raise ValueError(f'{where}: its segmentation {error}') from error
    if left_out:
        mask = [polygon for index, polygon in enumerate(mask) if index not in left_out]
    return CheckedMask(mask, size, len(left_out), fraction_outside(mask, size=size))
