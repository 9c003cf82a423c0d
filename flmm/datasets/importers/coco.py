"""COCO's instances: the name of a category is a phrase, and means all instances of it in an image."""

import posixpath
import reprlib

from flmm.datasets.annotation_file import Id, check_entry, entries_by_id
from flmm.datasets.instances_file import check_annotation, check_image, load_instances
from flmm.datasets.item import Item, Target
from flmm.datasets.masks import unite_masks
from flmm.files import check_file_name
from flmm.json_files import read_json
from flmm.structures import PhraseInfo
from flmm.text import prepare_phrase


def coco_items(ann_file: str, *, skip_broken: bool = False) -> tuple[list[Item], list[str]]:
    """Read ``instances_*.json``.

    A phrase is a category with its instances in an image: their union, crowds included, since they are of the category
    too; ``plural`` where there are several or a crowd. Items are in the order of the images, their phrases in that of
    the categories. ``img_path`` is the file's name as written.

    Args:
        ann_file: the file.
        skip_broken: leaves out annotations that draw nothing or are malformed, and says so, instead of raising.

    Returns:
        The items, and what was left out: annotations that are broken, and images without an annotation.

    Raises:
        ValueError: the file is missing or malformed, or, without ``skip_broken``, an annotation is.
    """
    images, annotations = load_instances(ann_file)
    names = _category_names(ann_file)
    found: dict = {image_id: {} for image_id in images}  # image id -> category id -> annotations
    sizes = {image_id: check_image(image, path=ann_file) for image_id, image in images.items()}
    _check_file_names(images, ann_file)
    left_out = []
    for annotation in annotations.values():
        where = f'annotation {annotation["id"]!r} of ann_file {ann_file!r}'
        try:
            check_entry(annotation, keys=['image_id', 'category_id', 'segmentation'], where=where)
            image_id, category = annotation['image_id'], annotation['category_id']
            for key, known in (('image_id', images), ('category_id', names)):
                if annotation[key] not in known:
                    raise ValueError(f'{where} has {key} {annotation[key]!r}, unknown to the file; mend it')
            if annotation.get('iscrowd', 0) not in (0, 1):
                raise ValueError(f'{where} has iscrowd {reprlib.repr(annotation["iscrowd"])}, expected 0 or 1')
            size = sizes[image_id]
            checked = check_annotation(annotation, path=ann_file, image=images[image_id], size=size)
        except ValueError as error:
            if not skip_broken:
                raise
            left_out.append(str(error))
            continue
        sizes[image_id] = checked.size
        found[image_id].setdefault(category, []).append((checked.mask, bool(annotation.get('iscrowd'))))
    items = []
    for image_id, by_category in found.items():
        name = images[image_id]['file_name']
        if not by_category:
            left_out.append(f'image {image_id!r} ({name!r}) has no annotation')
            continue
        targets = [
            _target(names[category], by_category[category], size=sizes[image_id])
            for category in names
            if category in by_category
        ]
        items.append(Item(img_path=name, img_id=image_id, annotated_size=sizes[image_id], targets=targets))
    return items, left_out


def _category_names(ann_file: str) -> dict:
    """Return the names by id; a second reading, since load_instances keeps no categories."""
    content = read_json(ann_file, setting='ann_file')
    if not content.get('categories'):
        raise ValueError(f'ann_file {ann_file!r} has no categories, whose names are the phrases; take the whole file')
    categories = entries_by_id(content, 'categories', key='id', about='name', where=f'ann_file {ann_file!r}')
    for category_id, category in categories.items():
        where = f'category {category_id!r} of ann_file {ann_file!r}'
        check_entry(category, keys=['name'], where=where)
        try:
            prepare_phrase(category['name'], lowercase=True)
        except ValueError as error:
            raise ValueError(f"{where}, key 'name': {error}") from error
    return {category_id: category['name'] for category_id, category in categories.items()}


def _check_file_names(images: dict[Id, dict], ann_file: str) -> None:
    """Check that names stay in their folder, and that no picture has two entries, each with a part of its instances."""
    owners: dict[str, Id] = {}
    for image_id, image in images.items():
        where = f'image {image_id!r} of ann_file {ann_file!r}'
        try:
            check_file_name(image['file_name'])
        except ValueError as error:
            raise ValueError(f"{where}, key 'file_name': {error}") from error
        owner = owners.setdefault(posixpath.normpath(image['file_name']), image_id)
        if owner != image_id:
            raise ValueError(
                f'{where} has the file_name {image["file_name"]!r} of image {owner!r}; make one entry of both'
            )


def _target(name: str, instances: list[tuple[list | dict, bool]], *, size: tuple[int, int]) -> Target:
    masks = [mask for mask, _ in instances]
    several = len(instances) > 1 or any(crowd for _, crowd in instances)
    return Target(texts=[(name, PhraseInfo(thing=True, plural=several))], mask=unite_masks(masks, size=size))
