"""Masks of a video, at the size of its frames, drawn for those frames that are asked for."""

from collections.abc import Sequence
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
    """Prepare the masks of an item of :class:`flmm.datasets.RefVideoDataset`.

    Adds ``gt_masks``, a :class:`VideoMasks`, or None where the item's ``masks`` are: no truth is known. Of an item with
    ``palettes`` also ``gt_objects``, a :class:`VideoObjects`.
    """

    def transform(self, results: dict) -> dict:
        """Add the masks to ``results``."""
        masks = results['masks']
        results['gt_masks'] = None if masks is None else VideoMasks(masks, frame_paths=results['frame_paths'])
        if 'palettes' in results:
            results['gt_objects'] = VideoObjects(results['palettes'], frame_paths=results['frame_paths'])
        return results


class VideoObjects:
    """Which object each pixel shows, in F palettes, which are read when frames are taken.

    Args:
        palettes: F files, whose pixels are indices of objects.
        frame_paths: F files of frames.
    """

    def __init__(self, palettes: Sequence[str], *, frame_paths: Sequence[str]) -> None:
        self.palettes, self.frame_paths = palettes, frame_paths

    def __getitem__(self, frames: Sequence[int]) -> torch.Tensor:
        """Read the palettes of some frames, [frames, IH, IW] uint8.

        Raises:
            ValueError: a file cannot be read, or has another size than the first frame. The message names the file.
        """
        size = _frame_size(self.frame_paths)
        read = np.empty((len(frames), *size), dtype=np.uint8)
        for place, frame in enumerate(frames):
            path = self.palettes[frame]
            try:
                picture = read_png(path, mode='L')
            except ValueError as error:
                raise ValueError(f'the palette of frame {self.frame_paths[frame]!r} {error}') from error
            if picture.shape != size:
                raise ValueError(
                    f'palette {path!r} has {picture.shape[0]}x{picture.shape[1]} px (height x width), but its video '
                    f'has {size[0]}x{size[1]}; take both from one release'
                )
            read[place] = picture
        return torch.from_numpy(read)


class VideoMasks:
    """The masks of M phrases in F frames, which are drawn when frames are taken: training takes a few of many.

    The mask of a phrase is the union of its objects', and empty in frames that show none of them, or in all where the
    phrase means nothing in the video.

    Args:
        meant: for each phrase the objects that it means. An object says ``whose`` it is, for messages, and has F
            ``rles``, some of them None, or F files ``palettes``, and its ``id`` in them.
        frame_paths: F files of frames.

    >>> VideoMasks(item['masks'], frame_paths=item['frame_paths'])[[0, 7]].shape
    torch.Size([2, 3, 480, 854])
    """

    def __init__(self, meant: Sequence[Sequence[dict[str, Any]]], *, frame_paths: Sequence[str]) -> None:
        self.meant, self.frame_paths = meant, frame_paths

    def __len__(self) -> int:
        return len(self.frame_paths)

    def __getitem__(self, frames: Sequence[int]) -> torch.Tensor:
        """Draw the masks of some frames, [frames, M, IH, IW] bool.

        Raises:
            ValueError: a file cannot be read, has another size than the first frame, or, where all frames are taken, an
                object is in none of them. The message names the file and the object.
        """
        height, width = _frame_size(self.frame_paths)
        drawn = torch.zeros(len(frames), len(self.meant), height, width, dtype=torch.bool)
        parts = [(phrase, part) for phrase, objects in enumerate(self.meant) for part in objects]
        seen = [False] * len(parts)
        for place, frame in enumerate(frames):
            pictures: dict[str, np.ndarray] = {}
            for number, (phrase, part) in enumerate(parts):
                mask = _mask(part, frame, pictures)
                if mask is None:
                    continue
                if mask.shape != (height, width):
                    raise ValueError(
                        f'{part["whose"]} has a mask of {mask.shape[0]}x{mask.shape[1]} px (height x width) for frame '
                        f'{self.frame_paths[frame]!r}, whose video has {height}x{width}; take both from one release'
                    )
                seen[number] = seen[number] or bool(mask.any())
                drawn[place, phrase] |= torch.from_numpy(mask)
        if not all(seen) and set(frames) == set(range(len(self))):
            _, part = parts[seen.index(False)]
            raise ValueError(
                f'{part["whose"]} has no pixel in any of {len(self)} frames; leave out the expression that means it'
            )
        return drawn


def _frame_size(frame_paths: Sequence[str]) -> tuple[int, int]:
    """Return (height, width) of the first frame, px."""
    first = frame_paths[0]
    width, height = read_image_size(first, name=first, orientation='refuse')
    return height, width


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
