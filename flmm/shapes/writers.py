"""Scenes on disk, in the layouts of RefCOCO and of Panoptic Narrative Grounding (PNG)."""

import json
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from flmm.rle import encode_masks
from flmm.shapes.captions import describe
from flmm.shapes.contours import KINDS
from flmm.shapes.generate import SceneSample
from flmm.shapes.scene import Shape

POLYGON_IOU = 0.98  # a polygon stands for a mask if its raster agrees with it this well
JPEG_QUALITY = 95
_CATEGORY_IDS = {kind: index for index, kind in enumerate(KINDS, start=1)}
_BACKGROUND_CATEGORY = {'id': len(KINDS) + 1, 'name': 'background', 'supercategory': 'background'}


def write_refcoco(
    root: str | Path, splits: Mapping[str, Iterable[SceneSample]], *, image_folder: str = 'images'
) -> dict[str, int]:
    """Write ``refcoco/instances.json``, ``refcoco/refs(unc).p`` and the images, as RefCOCO lies on disk.

    mmdet reads it with ``RefCocoDataset(data_root=root, ann_file='refcoco/instances.json',
    split_file='refcoco/refs(unc).p', data_prefix=dict(img_path='images/'), split=...)``. A mask is stored as the
    polygon of its shape where that reproduces it (IoU >= 0.98 under pycocotools), else, that is when hidden in part or
    with a hole, exactly, as compressed RLE. ``area`` and ``bbox`` are always those of the visible pixels. Beyond
    RefCOCO, each sentence has its ``kind``.

    Args:
        root: folder to write into; made if absent.
        splits: scenes by split name; each is consumed once, so generators do.
        image_folder: name of the folder of JPEG images under ``root``.

    Returns:
        Number of references by split.

    Raises:
        ValueError: two scenes have one image id.
    """
    root = Path(root)
    images, annotations, refs = [], [], []
    counts = dict.fromkeys(splits, 0)
    num_sentences = 0
    for split, samples in splits.items():
        for sample in samples:
            images.append(_write_image(root / image_folder, sample))
            annotation_ids = {}
            for index, (shape, mask) in enumerate(zip(sample.scene.shapes, sample.masks, strict=True)):
                if mask.any():
                    annotation_ids[index] = len(annotations) + 1
                    annotations.append(_annotation(annotation_ids[index], sample.image_id, shape, mask))
            for reference in sample.references:
                sent_ids = range(num_sentences, num_sentences + len(reference.sentences))
                num_sentences += len(sent_ids)
                ref = {
                    'sent_ids': list(sent_ids),
                    'file_name': f'{sample.image_id:012d}_{reference.shape_index}.jpg',
                    'ann_id': annotation_ids[reference.shape_index],
                    'ref_id': len(refs),
                    'image_id': sample.image_id,
                    'split': split,
                    'sentences': [
                        {'tokens': text.split(), 'raw': text, 'sent_id': sent_id, 'sent': text, 'kind': sentence.kind}
                        for sent_id, sentence in zip(sent_ids, reference.sentences, strict=True)
                        for text in [sentence.text]
                    ],
                    'category_id': _CATEGORY_IDS[sample.scene.shapes[reference.shape_index].kind],
                }
                refs.append(ref)
                counts[split] += 1
    _check_unique(images)
    categories = [{'id': id_, 'name': kind, 'supercategory': 'shape'} for kind, id_ in _CATEGORY_IDS.items()]
    instances = {
        'info': {}, 'licenses': [], 'images': images, 'annotations': annotations, 'categories': categories
    }  # fmt: skip
    folder = root / 'refcoco'
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / 'instances.json', instances)
    with (folder / 'refs(unc).p').open('wb') as file:
        # Through JSON: a pickle also records which equal strings are one object, which depends on who drew the scene.
        pickle.dump(json.loads(json.dumps(refs)), file, protocol=2)
    return counts


def write_png(root: str | Path, split: str, samples: Iterable[SceneSample], *, image_folder: str = 'images') -> int:
    """Write narratives and panoptic maps of one split, as PNG lies on disk.

    Under ``root``: ``annotations/png_coco_<split>.json``, ``annotations/panoptic_<split>.json``, the maps
    ``annotations/panoptic_<split>/<image id>.png`` (RGB, id = R + 256 G + 65536 B) and the images. The background is a
    stuff segment, equal shapes of one caption are a plural. A shape too hidden to be named still has its segment.

    Args:
        root: folder to write into; made if absent.
        split: name used in the files, such as 'train' or 'val'.
        samples: scenes, consumed once.
        image_folder: name of the folder of JPEG images under ``root``.

    Returns:
        Number of segments that nouns refer to.

    Raises:
        ValueError: two scenes have one image id.
    """
    root = Path(root)
    maps = root / 'annotations' / f'panoptic_{split}'
    maps.mkdir(parents=True, exist_ok=True)
    images, narratives, annotations = [], [], []
    for sample in samples:
        images.append(_write_image(root / image_folder, sample))
        segment_ids, background_id, panoptic = _panoptic_map(sample)
        file_name = f'{sample.image_id:012d}.png'
        channels = np.stack([panoptic & 255, panoptic >> 8 & 255, panoptic >> 16], axis=-1)
        Image.fromarray(channels.astype(np.uint8)).save(maps / file_name)
        category_ids = [_CATEGORY_IDS[shape.kind] for shape in sample.scene.shapes] + [_BACKGROUND_CATEGORY['id']]
        segments_info = [
            {
                'id': segment_id,
                'category_id': category_id,
                'iscrowd': 0,
                'bbox': _bbox(panoptic == segment_id),
                'area': int((panoptic == segment_id).sum()),
            }
            for segment_id, category_id in zip([*segment_ids, background_id], category_ids, strict=True)
            if (panoptic == segment_id).any()
        ]
        annotations.append({'image_id': sample.image_id, 'file_name': file_name, 'segments_info': segments_info})
        parts = describe(sample.scene, sample.masks, panoptic=True)
        narrative = {
            'image_id': str(sample.image_id),
            'caption': ''.join(part.text for part in parts),
            'annotator_id': 0,
            'segments': [
                {
                    'utterance': part.text,
                    'segment_ids': [str(segment_ids[index]) for index in part.shape_indices]
                    + [str(background_id)] * part.background,
                    'plural': part.plural,
                    'noun': part.noun,
                }
                for part in parts
            ],
        }
        narratives.append(narrative)
    _check_unique(images)
    categories = [
        {'id': id_, 'name': kind, 'isthing': 1, 'supercategory': 'shape'} for kind, id_ in _CATEGORY_IDS.items()
    ]
    categories.append({**_BACKGROUND_CATEGORY, 'isthing': 0})
    panoptic_json = {'images': images, 'annotations': annotations, 'categories': categories}
    _write_json(root / 'annotations' / f'panoptic_{split}.json', panoptic_json)
    _write_json(root / 'annotations' / f'png_coco_{split}.json', narratives)
    return sum(len(segment['segment_ids']) for narrative in narratives for segment in narrative['segments'])


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


def _annotation(annotation_id: int, image_id: int, shape: Shape, mask: np.ndarray) -> dict[str, Any]:
    return {
        'segmentation': encode_mask(mask, shape),
        'area': float(mask.sum()),
        'iscrowd': 0,
        'image_id': image_id,
        'bbox': [float(value) for value in _bbox(mask)],
        'category_id': _CATEGORY_IDS[shape.kind],
        'id': annotation_id,
    }


def _panoptic_map(sample: SceneSample) -> tuple[list[int], int, np.ndarray]:
    """Paint segment ids near the shapes' own colours: the map looks like the scene. Ids are unique and not 0 (void)."""
    background_id = 200 * 0x010101
    taken = {0, background_id}
    panoptic = np.full(sample.masks.shape[1:], background_id, dtype=np.int64)
    segment_ids = []
    for shape, mask in zip(sample.scene.shapes, sample.masks, strict=True):
        red, green, blue = shape.rgb
        segment_id = red + 256 * green + 65536 * blue
        while segment_id in taken:
            segment_id = (segment_id + 1) % 2**24
        taken.add(segment_id)
        segment_ids.append(segment_id)
        panoptic[mask] = segment_id
    return segment_ids, background_id, panoptic


def _bbox(mask: np.ndarray) -> list[int]:
    """Left, top, width and height of the pixels of a mask, px."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def _write_image(folder: Path, sample: SceneSample) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    file_name = f'{sample.image_id:012d}.jpg'
    Image.fromarray(sample.image).save(folder / file_name, quality=JPEG_QUALITY)
    height, width = sample.image.shape[:2]
    return {'id': sample.image_id, 'file_name': file_name, 'height': height, 'width': width}


def _check_unique(images: list[dict[str, Any]]) -> None:
    ids = [image['id'] for image in images]
    repeated = sorted({id_ for id_ in ids if ids.count(id_) > 1}) if len(set(ids)) < len(ids) else []
    if repeated:
        raise ValueError(f'Image ids {repeated[:5]} occur more than once: give every scene its own image_id.')


def _write_json(path: Path, content: Any) -> None:
    with path.open('w', encoding='utf-8') as file:
        json.dump(content, file)
