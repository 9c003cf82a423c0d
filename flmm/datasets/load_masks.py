"""Masks of an item, at the size of its picture."""

import logging
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform
from mmdet.structures.mask import BitmapMasks
from mmengine.logging import print_log
from pycocotools import mask as coco_mask

from flmm.datasets.mask_files import is_file_mask, mask_of_file
from flmm.datasets.masks import encode_mask
from flmm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadMasks(BaseTransform):
    """Decode the masks, where mmdet's LoadAnnotations replaces what it cannot read by an empty mask.

    Adds ``gt_masks``, mmdet's BitmapMasks of size (height, width), one for each of ``instances``. Their ``mask`` is
    polygons or an RLE (:func:`flmm.datasets.masks.encode_mask`), lies in a file
    (:func:`flmm.datasets.mask_files.mask_of_file`), is the union of several (``{'union': masks}``), or is None where
    the phrase means nothing in the image: the only mask that comes out empty. Where an instance has ``ignore``, a mask
    in one of these forms, adds ``ignore_masks`` too, empty for the others.

    Masks were drawn on ``annotated_size`` (height, width) in px. An item without that key vouches that they were drawn
    on this picture.

    Args:
        rescale: True brings masks that were drawn on a picture of another size and the same shape, such as the original
            of a thumbnail, to this one's (``nearest-exact``), where regions to ignore may vanish, but no other mask.
            False makes another size an error.

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
        pictures: dict[str, np.ndarray] = {}  # a panoptic picture holds the masks of many phrases
        for key, field in (('gt_masks', 'mask'), ('ignore_masks', 'ignore')):
            given = [instance.get(field) for instance in results['instances']]
            if key == 'ignore_masks' and not any(given):
                continue
            masks = []
            for index, (instance, mask) in enumerate(zip(results['instances'], given, strict=True)):
                whose = f'{field} {index} (annotation {instance.get("ann_id")}) of image {results["img_path"]!r}'
                try:
                    drawn = draw_mask(mask, pictures, size=annotated_size, whose=whose)
                    scaled = drawn if annotated_size == size else _rescaled(drawn, size=size)
                    if field == 'mask' and mask is not None and not scaled.any():
                        raise ValueError(f'is empty (0 px) at {size[0]}x{size[1]} px')
                    masks.append(scaled)
                except ValueError as error:
                    raise ValueError(f'{whose} {error}; check that the annotations belong to this image') from error
            results[key] = BitmapMasks(masks, *size)
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


def draw_mask(mask: Any, pictures: dict[str, np.ndarray], *, size: tuple[int, int], whose: str) -> np.ndarray:
    """Draw a mask on the size that it was made for.

    Args:
        mask: One mask in any form that LoadMasks takes.
        pictures: what was read from files before, by path; what this mask lies in is added.
        size: (height, width) in px.
        whose: names the mask in the log.

    Returns:
        [height, width] uint8, 0 or 1.

    Raises:
        ValueError: it cannot be drawn, is empty without being None, or has another size. The message is a predicate.
    """
    if mask is None:
        return np.zeros(size, dtype=np.uint8)
    if isinstance(mask, dict) and 'union' in mask:
        parts = [draw_mask(part, pictures, size=size, whose=whose) for part in mask['union']]
        return np.bitwise_or.reduce(parts)
    if is_file_mask(mask):
        decoded = mask_of_file(mask, pictures)
        if decoded.shape != size:
            raise ValueError(
                f'lies in a file of {decoded.shape[0]}x{decoded.shape[1]} px (height x width), its image '
                f'has {size[0]}x{size[1]}'
            )
        return decoded
    rle, left_out = encode_mask(mask, size=size)
    if left_out:
        message = f'{whose}: left out {len(left_out)} polygons of {len(mask)}, which draw nothing'
        print_log(message, logger='current', level=logging.WARNING)
    return coco_mask.decode(rle)


def _rescaled(drawn: np.ndarray, *, size: tuple[int, int]) -> np.ndarray:
    tensor = torch.from_numpy(drawn)[None, None]  # [1, 1, annotated height, annotated width]
    return F.interpolate(tensor, size=size, mode='nearest-exact')[0, 0].numpy()  # [height, width]
