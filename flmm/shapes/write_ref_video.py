"""Scenes in motion on disk, in the layout of Ref-YouTube-VOS."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flmm.shapes.coco import JPEG_QUALITY, write_json
from flmm.shapes.generate_video import VideoSample
from flmm.shapes.scene import COLOURS

_PALETTE = [0, 0, 0, *(value for rgb in COLOURS.values() for value in rgb)]  # of object ids, from 0: background


class RefVideoWriter:
    """Writes one split, video by video.

    Under ``root``: ``<split>/JPEGImages/<video>/<frame>.jpg``, ``<split>/Annotations/<video>/<frame>.png`` (object ids
    as a palette picture: shape i is object i + 1), ``<split>/meta.json`` (which objects a video has, and the frames in
    which they are seen) and ``meta_expressions/<split>/meta_expressions.json``. Beyond the layout, each expression has
    its ``kind``, and each video its ``fps``.

    Args:
        root: folder to write into; made if absent.
        split: name used in paths, such as 'train'.
    """

    def __init__(self, root: Path, split: str) -> None:
        self.root, self.split = root, split
        self._objects: dict[str, Any] = {}
        self._expressions: dict[str, Any] = {}

    def write(self, sample: VideoSample) -> None:
        """Write frames and masks of a video, and keep what the files of the split say of it."""
        names = frame_names(sample.video.num_frames)
        folders = [self.root / self.split / kind / sample.video_id for kind in ('JPEGImages', 'Annotations')]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        object_ids = np.arange(1, sample.masks.shape[1] + 1, dtype=np.uint8)
        for name, frame, masks in zip(names, sample.frames, sample.masks, strict=True):
            Image.fromarray(frame).save(folders[0] / f'{name}.jpg', quality=JPEG_QUALITY)
            picture = Image.fromarray(np.tensordot(object_ids, masks, axes=1).astype(np.uint8))  # [H, W]
            picture.putpalette(_PALETTE)
            picture.save(folders[1] / f'{name}.png')
        self._objects[sample.video_id] = {
            'objects': {
                str(i + 1): {
                    'category': shape.kind,
                    'frames': [name for name, mask in zip(names, sample.masks[:, i], strict=True) if mask.any()],
                }
                for i, shape in enumerate(sample.video.start.shapes)
            }
        }
        self._expressions[sample.video_id] = {
            'expressions': {
                str(number): {'exp': each.text, 'obj_id': str(each.shape_index + 1), 'kind': each.kind}
                for number, each in enumerate(sample.sentences)
            },
            'frames': names,
            'fps': sample.video.fps,
        }

    def close(self) -> None:
        """Write the files of the split."""
        (self.root / 'meta_expressions' / self.split).mkdir(parents=True, exist_ok=True)
        write_json(self.root / self.split / 'meta.json', {'videos': self._objects})
        expressions = self.root / 'meta_expressions' / self.split / 'meta_expressions.json'
        write_json(expressions, {'videos': self._expressions})


def frame_names(num_frames: int) -> list[str]:
    """Name the frames: '00000', '00001', ..."""
    return [f'{frame:05d}' for frame in range(num_frames)]
