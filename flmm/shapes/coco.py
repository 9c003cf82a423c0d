"""What the files of both layouts share: images, masks and boxes as COCO writes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from flmm.atomic_write import write_text
from flmm.rle import encode_masks
from flmm.shapes.contours import KINDS
from flmm.shapes.generate import SceneSample
from flmm.shapes.scene import Shape

POLYGON_IOU = 0.98  # a polygon stands for a mask if its raster agrees with it this well
JPEG_QUALITY = 95
CATEGORY_IDS = {kind: index for index, kind in enumerate(KINDS, start=1)}


def encode_mask(mask: np.ndarray, shape: Shape) -> list[list[float]] | dict[str, Any]:
    """Give the COCO ``segmentation`` of a shape's visible mask [H, W] bool: one polygon, or RLE with str counts."""
    height, width = mask.shape
    (rle,) = encode_masks(mask[None])
    if len(shape.contours) == 1:
        polygon = shape.contours[0].round(2).ravel().tolist()
        raster = coco_mask.frPyObjects([polygon], height, width)
        if coco_mask.iou(raster, [rle], [0]).item() >= POLYGON_IOU:
            return [polygon]
    return rle


def annotation(annotation_id: int, image_id: int, shape: Shape, mask: np.ndarray) -> dict[str, Any]:
    """Give COCO's annotation of a shape whose visible pixels are ``mask``, [H, W] bool."""
    return {
        'segmentation': encode_mask(mask, shape),
        'area': float(mask.sum()),
        'iscrowd': 0,
        'image_id': image_id,
        'bbox': [float(value) for value in bounding_box(mask)],
        'category_id': CATEGORY_IDS[shape.kind],
        'id': annotation_id,
    }


def bounding_box(mask: np.ndarray) -> list[int]:
    """Left, top, width and height of the pixels of a mask, px."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def write_image(folder: Path, sample: SceneSample) -> dict[str, Any]:
    """Write the picture as JPEG and give COCO's entry of it."""
    folder.mkdir(parents=True, exist_ok=True)
    file_name = f'{sample.image_id:012d}.jpg'
    Image.fromarray(sample.image).save(folder / file_name, quality=JPEG_QUALITY)
    height, width = sample.image.shape[:2]
    return {'id': sample.image_id, 'file_name': file_name, 'height': height, 'width': width}


def check_unique(images: list[dict[str, Any]]) -> None:
    """Refuse two scenes of one id: a ValueError names them."""
    ids = [image['id'] for image in images]
    repeated = sorted({id_ for id_ in ids if ids.count(id_) > 1}) if len(set(ids)) < len(ids) else []
    if repeated:
        raise ValueError(f'Image ids {repeated[:5]} occur more than once: give every scene its own image_id.')


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` on one line."""
    write_text(path, json.dumps(content))
