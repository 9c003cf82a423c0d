"""Masks of a video, frame by frame, at the size of its frames."""

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from pycocotools import mask as coco_mask

from flmm.datasets.mask_files import read_png
from flmm.images import read_image_size
from flmm.registry import TRANSFORMS
from flmm.rle import check_rle


@TRANSFORMS.register_module()
class LoadVideoMasks(BaseTransform):
    """Decode the masks of an item of :class:`flmm.datasets.RefVideoDataset`.

    Adds ``gt_masks``, a bool tensor [F, M, IH, IW] of F frames and M phrases, or None where the item's ``masks`` are:
    no truth is known. The mask of a phrase is the union of its objects', and empty in frames that show none of them, or
    in all where it means nothing in the video.

    Raises:
        ValueError: a file cannot be read, has another size than the first frame, or an object is in none of the frames.
            The message names the file and the object.
    """

    def transform(self, results: dict) -> dict:
        """Add the masks to ``results``."""
        results['gt_masks'] = None if results['masks'] is None else self._draw(results)
        return results

    def _draw(self, results: dict) -> torch.Tensor:
        paths, meant = results['frame_paths'], results['masks']
        width, height = read_image_size(paths[0], name=paths[0], orientation='refuse')
        drawn = torch.zeros(len(paths), len(meant), height, width, dtype=torch.bool)
        parts = [(phrase, part) for phrase, objects in enumerate(meant) for part in objects]
        seen = [False] * len(parts)
        for frame in range(len(paths)):
            pictures: dict[str, np.ndarray] = {}
            for number, (phrase, part) in enumerate(parts):
                mask = _mask(part, frame, pictures)
                if mask is None:
                    continue
                if mask.shape != (height, width):
                    raise ValueError(
                        f'{part["whose"]} has a mask of {mask.shape[0]}x{mask.shape[1]} px (height x width) for frame '
                        f'{paths[frame]!r}, whose video has {height}x{width}; take both from one release'
                    )
                seen[number] = seen[number] or bool(mask.any())
                drawn[frame, phrase] |= torch.from_numpy(mask)
        if not all(seen):
            _, part = parts[seen.index(False)]
            raise ValueError(
                f'{part["whose"]} has no pixel in any of {len(paths)} frames; leave out the expression that means it'
            )
        return drawn


def _mask(part: dict[str, Any], frame: int, pictures: dict[str, np.ndarray]) -> np.ndarray | None:
    """Read the mask of an object in a frame, [h, w] bool; None where there is none."""
    try:
        if 'rles' in part:
            rle = part['rles'][frame]
            return None if rle is None else coco_mask.decode(check_rle(rle)).astype(bool)
        path = part['palettes'][frame]
        if path not in pictures:
            pictures[path] = read_png(path, mode='L')
        return pictures[path] == part['id']
    except ValueError as error:
        raise ValueError(f'the mask of {part["whose"]} {error}') from error
