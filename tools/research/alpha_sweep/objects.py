"""Where the objects of a scene are, as its annotations say."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor


class SceneObjects:
    """The masks of all objects of a scene, referred to or not.

    Args:
        ann_file: COCO's instances.
    """

    def __init__(self, ann_file: str) -> None:
        instances = json.loads(Path(ann_file).read_text(encoding='utf-8'))
        self._images = {image['file_name']: image for image in instances['images']}
        self._segmentations = defaultdict(list)
        for annotation in instances['annotations']:
            self._segmentations[annotation['image_id']].append(annotation['segmentation'])

    def masks(self, image_path: str) -> Tensor:
        """Return [objects, IH, IW] bool, in the image frame, of the image of that file name."""
        image = self._images[Path(image_path).name]
        size = image['height'], image['width']
        found = np.zeros((0, *size), dtype=bool)
        for segmentation in self._segmentations[image['id']]:
            polygons = isinstance(segmentation, list)
            rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size)) if polygons else segmentation
            found = np.concatenate([found, coco_mask.decode(rle).astype(bool)[None]])
        return torch.from_numpy(found)
