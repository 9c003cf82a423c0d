"""What a video must be able to do to be read: say what it is, and give frames by number."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor


class VideoSource(Protocol):
    """A video that is open. ``size`` is the width and height of its frames in px as they are shown."""

    name: str
    num_frames: int
    fps: float
    size: tuple[int, int]

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """Yield the frames of these numbers, which never fall, each [3, H, W] uint8, RGB; decode no more than needed.

        Raises:
            ValueError: a frame cannot be decoded.
        """
        ...


def check_frame_count(num_frames: int, *, name: str) -> None:
    """Raise a ValueError if a file has no frames."""
    if not num_frames:
        raise ValueError(f'video {name!r} has no frames; download it again, or leave it out')


def check_frame_pixels(width: int, height: int, *, name: str, max_pixels: int) -> None:
    """Raise a ValueError if the frames of a file have more than ``max_pixels``."""
    if width * height > max_pixels:
        raise ValueError(
            f'video {name!r} has frames of {width} x {height} px, more than max_pixels={max_pixels:,}; make it '
            'smaller, or raise max_pixels if the memory suffices'
        )
