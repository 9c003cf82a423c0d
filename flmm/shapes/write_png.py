"""Scenes on disk, in the layout of Panoptic Narrative Grounding (PNG)."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from flmm.shapes.captions import describe
from flmm.shapes.coco import CATEGORY_IDS, bounding_box, check_unique, write_image, write_json
from flmm.shapes.generate import SceneSample

_BACKGROUND_CATEGORY = {'id': len(CATEGORY_IDS) + 1, 'name': 'background', 'supercategory': 'background'}


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
        images.append(write_image(root / image_folder, sample))
        segment_ids, background_id, panoptic = _panoptic_map(sample)
        file_name = f'{sample.image_id:012d}.png'
        channels = np.stack([panoptic & 255, panoptic >> 8 & 255, panoptic >> 16], axis=-1)
        Image.fromarray(channels.astype(np.uint8)).save(maps / file_name)
        category_ids = [CATEGORY_IDS[shape.kind] for shape in sample.scene.shapes] + [_BACKGROUND_CATEGORY['id']]
        segments_info = [
            {
                'id': segment_id,
                'category_id': category_id,
                'iscrowd': 0,
                'bbox': bounding_box(panoptic == segment_id),
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
    check_unique(images)
    categories = [
        {'id': id_, 'name': kind, 'isthing': 1, 'supercategory': 'shape'} for kind, id_ in CATEGORY_IDS.items()
    ]
    categories.append({**_BACKGROUND_CATEGORY, 'isthing': 0})
    panoptic_json = {'images': images, 'annotations': annotations, 'categories': categories}
    write_json(root / 'annotations' / f'panoptic_{split}.json', panoptic_json)
    write_json(root / 'annotations' / f'png_coco_{split}.json', narratives)
    return sum(len(segment['segment_ids']) for narrative in narratives for segment in narrative['segments'])


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
