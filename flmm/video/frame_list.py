"""A video that is given as a list of its frames."""

import os
import reprlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flmm.images import load_pixels, read_image_size, read_rgb, to_rgb


class FrameList:
    """Frames that are files or images, read one by one; a :class:`~flmm.video.source.VideoSource`.

    Args:
        frames: paths of image files, or PIL images, in order of time.
        fps: their rate.
        name: what errors call the video.
        orientation: what to do with files that EXIF says to turn (:func:`flmm.images.read_rgb`); images are taken as
            they are.
        max_pixels: largest width times height of a frame.

    Raises:
        ValueError: there is no frame, one is no path and no image, cannot be read, or has another size than the first.
    """

    def __init__(
        self,
        frames: Sequence[str | os.PathLike | Image.Image],
        *,
        fps: float,
        name: str,
        orientation: str,
        max_pixels: int,
    ) -> None:
        if not frames:
            raise ValueError(f'video {name!r} has no frames; give a list of at least one')
        self.name, self.fps, self.num_frames = name, fps, len(frames)
        self._frames = list(frames)
        self.orientation, self.max_pixels = orientation, max_pixels
        self.size = self._size(0)
        for number in range(1, self.num_frames):
            size = self._size(number)
            if size != self.size:
                raise ValueError(
                    f'video {name!r}: {self._called(number)} has {size[0]} x {size[1]} px (width x height), '
                    f'{self._called(0)} has {self.size[0]} x {self.size[1]}; frames of one video are of one size'
                )

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """Yield the frames of these numbers as [3, H, W] uint8.

        Raises:
            ValueError: a frame is truncated or damaged.
        """
        for index in indices:
            frame = self._frames[index]
            if isinstance(frame, Image.Image):
                try:
                    image = to_rgb(load_pixels(frame, name=self._called(index)))
                except ValueError as error:
                    raise ValueError(f'video {self.name!r}: {self._called(index)}: {error}') from error
            else:
                image = read_rgb(frame, name=str(frame), orientation=self.orientation, max_pixels=self.max_pixels)
            yield torch.from_numpy(np.array(image)).permute(2, 0, 1)  # [3, H, W]

    def _size(self, number: int) -> tuple[int, int]:
        frame = self._frames[number]
        if isinstance(frame, str | os.PathLike):
            return read_image_size(frame, name=str(frame), orientation=self.orientation, max_pixels=self.max_pixels)
        if not isinstance(frame, Image.Image):
            raise ValueError(
                f'video {self.name!r}: {self._called(number)} is {reprlib.repr(frame)}, expected a path or an image'
            )
        if not 0 < frame.width * frame.height <= self.max_pixels:
            raise ValueError(
                f'video {self.name!r}: {self._called(number)} has {frame.width} x {frame.height} px, expected 1 to '
                f'max_pixels={self.max_pixels:,}'
            )
        return frame.size

    def _called(self, number: int) -> str:
        frame = self._frames[number]
        return f'frame {number}' if not isinstance(frame, str | os.PathLike) else f'frame {number} ({frame})'
