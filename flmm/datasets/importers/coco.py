"""COCO's instances: the name of a category is a phrase, and means all instances of it in an image."""

from pycocotools import mask as coco_mask

from flmm.datasets.annotation_file import check_entry
from flmm.datasets.grounding_dataset import Item, Target
from flmm.datasets.instances_file import check_annotation, check_image, load_instances
from flmm.datasets.masks import encode_mask
from flmm.json_files import read_json
from flmm.structures import PhraseInfo


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
    left_out = []
    for annotation in annotations.values():
        where = f'annotation {annotation["id"]!r} of ann_file {ann_file!r}'
        try:
            check_entry(annotation, keys=['image_id', 'category_id', 'segmentation'], where=where)
            image_id, category = annotation['image_id'], annotation['category_id']
            for key, known in (('image_id', images), ('category_id', names)):
                if annotation[key] not in known:
                    raise ValueError(f'{where} has {key} {annotation[key]!r}, unknown to the file; mend it')
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
    categories = read_json(ann_file, setting='ann_file').get('categories')
    if not isinstance(categories, list) or not categories:
        raise ValueError(f'ann_file {ann_file!r} has no categories, whose names are the phrases; take the whole file')
    for index, category in enumerate(categories):
        check_entry(category, keys=['id', 'name'], where=f"entry {index} of 'categories' of ann_file {ann_file!r}")
    return {category['id']: category['name'] for category in categories}


def _target(name: str, instances: list[tuple[list | dict, bool]], *, size: tuple[int, int]) -> Target:
    masks = [mask for mask, _ in instances]
    if all(isinstance(mask, list) for mask in masks):
        mask = [polygon for polygons in masks for polygon in polygons]
    elif len(masks) == 1:
        mask = masks[0]
    else:
        mask = coco_mask.merge([encode_mask(mask, size=size)[0] for mask in masks])
    several = len(instances) > 1 or any(crowd for _, crowd in instances)
    return Target(texts=[(name, PhraseInfo(thing=True, plural=several))], mask=mask)
