"""Which frames of a video are read: two a second by default, always an even number of them."""

import math
import reprlib
from dataclasses import dataclass

import torch

FRAMES_MERGED = 2
"""A Qwen-VL model merges so many frames, one after the other, into one grid of tokens."""
FPS = 2.0
MIN_FRAMES = 4
MAX_FRAMES = 768
MAX_NUMBER = 10**12
"""Largest number of frames, of px, of seconds that is understood, beyond which sums lose their exactness."""
MIN_RATE, MAX_RATE = 1e-6, 1e6


@dataclass(frozen=True, kw_only=True)
class FrameSampling:
    """A choice of frames, spread evenly over a video or a range of it, as qwen-vl-utils 0.0.14 makes it.

    A video of fewer frames than are asked for by ``fps`` and ``min_frames`` gives as many as it has, less one if that
    is odd. A single frame is given twice, where qwen-vl-utils refuses it.

    Args:
        fps: frames a second; None is 2.
        nframes: how many frames, whatever the length; rounded to a multiple of 2, half to a multiple of 4.
        min_frames: at least so many, rounded up to a multiple of 2; None is 4, or ``max_frames`` if that is less.
        max_frames: at most so many, rounded down to a multiple of 2; None is 768.
        video_start: where the range starts, in s; None is the first frame.
        video_end: where the range ends, in s; None, or a time behind the end of the video, is the last frame.

    Raises:
        ValueError: a number out of its range, or ``nframes`` beside ``fps``, ``min_frames`` or ``max_frames``.

    >>> FrameSampling(fps=1).choose(num_frames=60, fps=10.0)
    [0, 12, 24, 35, 47, 59]
    """

    fps: float | None = None
    nframes: int | None = None
    min_frames: int | None = None
    max_frames: int | None = None
    video_start: float | None = None
    video_end: float | None = None

    def __post_init__(self) -> None:
        for name in ('nframes', 'min_frames', 'max_frames'):
            value = getattr(self, name)
            least = 1 if name == 'min_frames' else FRAMES_MERGED
            if value is not None:
                check_integer(value, name=name, least=least)
        if self.fps is not None:
            check_rate(self.fps, name='fps')
        for name in ('video_start', 'video_end'):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value >= 0):
                raise ValueError(f'{name} is {reprlib.repr(value)}, expected a number of seconds, 0 or more')
        beside = [name for name in ('fps', 'min_frames', 'max_frames') if getattr(self, name) is not None]
        if self.nframes is not None and beside:
            raise ValueError(
                f'nframes is {self.nframes} beside {beside[0]}={getattr(self, beside[0])}, and either says how many '
                'frames are read; give one of them'
            )
        if None not in (self.min_frames, self.max_frames) and self.min_frames > self.max_frames:
            raise ValueError(f'min_frames is {self.min_frames}, more than max_frames={self.max_frames}')
        if None not in (self.video_start, self.video_end) and self.video_start >= self.video_end:
            raise ValueError(f'video_start is {self.video_start} s, expected less than video_end={self.video_end} s')

    def range_of(self, num_frames: int, fps: float) -> tuple[int, int]:
        """Return the first and the last frame that may be chosen of a video.

        Args:
            num_frames: of the video, at least 1.
            fps: of the video, above 0.

        Raises:
            ValueError: there is no frame in the range.
        """
        start, end = 0, num_frames - 1
        duration = num_frames / fps
        if self.video_start is not None:
            start = math.ceil(min(self.video_start, duration) * fps)
        if self.video_end is not None:
            end = min(math.floor(min(self.video_end, duration) * fps), end)
        if start > end:
            given = {'video_start': self.video_start, 'video_end': self.video_end}
            said = ' and '.join(f'{name} is {value} s' for name, value in given.items() if value is not None)
            raise ValueError(
                f'{said}, and no frame lies there: the video has {num_frames} frames, {fps:g} a second, the last at '
                f'{(num_frames - 1) / fps:g} s'
            )
        return start, end

    def choose(self, num_frames: int, fps: float) -> list[int]:
        """Return the numbers of the chosen frames, in order, an even number of them; the last of one frame is repeated.

        Args:
            num_frames: of the video, at least 1.
            fps: of the video, above 0.

        Raises:
            ValueError: the video has no frame, no frame lies in the range, or fewer than ``nframes`` do.
        """
        check_rate(fps, name='the rate of the video')
        if num_frames < 1:
            raise ValueError('the video has no frames')
        start, end = self.range_of(num_frames, fps)
        available = end - start + 1
        if self.nframes is not None:
            count = round(self.nframes / FRAMES_MERGED) * FRAMES_MERGED
            if count > available:
                where = 'the video' if available == num_frames else 'the range of video_start and video_end'
                raise ValueError(
                    f'nframes is {self.nframes}, which is {count} as a multiple of {FRAMES_MERGED}, and {where} has '
                    f'{available} frames; ask for fewer, or give fps'
                )
        else:
            most = _floor(min(MAX_FRAMES, available) if self.max_frames is None else self.max_frames)
            least = _ceil(MIN_FRAMES if self.min_frames is None else self.min_frames)
            # In this order, so that rounding is that of qwen-vl-utils.
            wanted = available / fps * (FPS if self.fps is None else self.fps)
            count = _floor(min(min(max(wanted, least), most), available))
        if available == 1:
            return [start] * FRAMES_MERGED
        return torch.linspace(start, end, count).round().long().tolist()


def check_rate(value: object, *, name: str) -> None:
    """Raise a ValueError with ``name`` unless the value is a number of frames a second that a video can have."""
    if not (_is_number(value) and MIN_RATE <= value <= MAX_RATE):
        raise ValueError(
            f'{name} is {reprlib.repr(value)}, expected a number of frames a second above 0, from {MIN_RATE:f} to '
            f'{MAX_RATE:,.0f}'
        )


def check_integer(value: object, *, name: str, least: int) -> None:
    """Raise a ValueError with ``name`` unless the value is an integer from ``least`` to :data:`MAX_NUMBER`."""
    if not (_is_number(value) and isinstance(value, int) and least <= value):
        raise ValueError(
            f'{name} is {reprlib.repr(value)}, expected an integer of at least {least}, at most {MAX_NUMBER:,}'
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _floor(number: float) -> int:
    return math.floor(number / FRAMES_MERGED) * FRAMES_MERGED


def _ceil(number: float) -> int:
    return math.ceil(number / FRAMES_MERGED) * FRAMES_MERGED
