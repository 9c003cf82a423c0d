"""Masks of an item, at the size of its picture."""

import logging

import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform
from mmdet.structures.mask import BitmapMasks
from mmengine.logging import print_log
from pycocotools import mask as coco_mask

from flmm.datasets.masks import encode_mask
from flmm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadMasks(BaseTransform):
    """Decode the masks, where mmdet's LoadAnnotations replaces what it cannot read by an empty mask.

    Adds ``gt_masks``, mmdet's BitmapMasks of size (height, width), one for each of ``instances``, for masks as
    :func:`flmm.datasets.masks.encode_mask` takes them. They were drawn on ``annotated_size`` (height, width) in px. An
    item without that key vouches that they were drawn on this picture.

    Args:
        rescale: True brings masks that were drawn on a picture of another size and the same shape, such as the original
            of a thumbnail, to this one's (``nearest-exact``). False makes another size an error.

    Raises:
        ValueError: the picture has another size than the annotation, or a mask cannot be decoded or is empty.
    """

    def __init__(self, *, rescale: bool = False) -> None:
        self.rescale = rescale

    def transform(self, results: dict) -> dict:
        """Add the masks to ``results``."""
        size = (results['height'], results['width'])
        annotated_size = tuple(results.get('annotated_size', size))
        if annotated_size != size:
            self._check_size(results['img_path'], size, annotated_size)
        masks = []
        for index, instance in enumerate(results['instances']):
            whose = f'mask {index} (annotation {instance.get("ann_id")}) of image {results["img_path"]!r}'
            try:
                rle, left_out = encode_mask(instance['mask'], size=annotated_size)
            except ValueError as error:
                raise ValueError(f'{whose} {error}; check that the annotations belong to this image') from error
            if left_out:
                message = f'{whose}: left out {len(left_out)} polygons of {len(instance["mask"])}, which draw nothing'
                print_log(message, logger='current', level=logging.WARNING)
            mask = torch.from_numpy(coco_mask.decode(rle))  # [height, width]
            if annotated_size != size:
                mask = F.interpolate(mask[None, None], size=size, mode='nearest-exact')[0, 0]
                if not mask.any():
                    raise ValueError(f'{whose} is empty (0 px) at {size[0]}x{size[1]} px; leave it out')
            masks.append(mask.numpy())
        results['gt_masks'] = BitmapMasks(masks, *size)
        return results

    def _check_size(self, path: str, size: tuple[int, int], annotated_size: tuple[int, int]) -> None:
        (height, width), (annotated_height, annotated_width) = size, annotated_size
        found = (
            f'image {path!r} has {height}x{width} px (height x width), its annotation was made on '
            f'{annotated_height}x{annotated_width}'
        )
        # Both sides of a resized picture are rounded, up or down.
        if abs(height * annotated_width - width * annotated_height) > max(annotated_size):
            problem = f'{found}, another shape; take the picture that was annotated'
            if (height - width) * (annotated_height - annotated_width) < 0:
                problem += ', with the EXIF orientation of the annotation (see PILLoadImageFromFile)'
            raise ValueError(problem)
        if not self.rescale:
            raise ValueError(f'{found}; take the picture that was annotated, or set LoadMasks(rescale=True)')
