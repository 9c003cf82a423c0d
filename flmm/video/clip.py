"""Frames that were chosen of a video, and when they are shown."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from flmm.video.frame_sampling import FRAMES_MERGED, check_rate

if TYPE_CHECKING:
    from transformers.video_utils import VideoMetadata


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """Frames of a video, ready for the video processor of a Qwen-VL model.

    ``processor(videos=[clip.frames], video_metadata=[clip.metadata], do_sample_frames=False)`` is the stock processor
    on these frames.

    Args:
        frames: [T, 3, H, W] uint8, RGB; T is even.
        indices: T numbers of the frames in the source, counted from 0; the last may be repeated to make T even.
        source_fps: frames a second of the source.
        num_source_frames: how many frames the source has.
        name: what errors call the source.
        range_frames: how many frames of the source the clip stands for, from the first to the last of the range that it
            was chosen from, a repeated one included; None counts them from ``indices``.

    Raises:
        ValueError: frames or indices of other shapes, or a rate that is no number above 0.
    """

    frames: Tensor
    indices: tuple[int, ...]
    source_fps: float
    num_source_frames: int
    name: str
    range_frames: float | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.frames.shape)
        if self.frames.dtype != torch.uint8 or len(shape) != 4 or shape[1] != 3 or 0 in shape:
            raise ValueError(
                f'video {self.name!r}: frames are {self.frames.dtype} {shape}, expected uint8 [T, 3, H, W]'
            )
        if shape[0] % FRAMES_MERGED or len(self.indices) != shape[0]:
            raise ValueError(
                f'video {self.name!r}: {shape[0]} frames of {len(self.indices)} indices, expected as many, and a '
                f'multiple of {FRAMES_MERGED}'
            )
        check_rate(self.source_fps, name=f'source_fps of video {self.name!r}')

    @property
    def seconds(self) -> tuple[float, ...]:
        """When each of the T frames is shown, as transformers counts: its number by the average rate of the source."""
        return tuple(index / self.source_fps for index in self.indices)

    @property
    def sampled_fps(self) -> float:
        """Frames a second of the clip."""
        return len(self.indices) / self._range_frames * self.source_fps

    @property
    def metadata(self) -> 'VideoMetadata':
        """What transformers' processors ask about a video; its ``total_num_frames`` is ``range_frames``."""
        from transformers.video_utils import VideoMetadata

        return VideoMetadata(
            total_num_frames=self._range_frames,
            fps=self.source_fps,
            width=self.frames.shape[3],
            height=self.frames.shape[2],
            duration=self._range_frames / self.source_fps,
            frames_indices=list(self.indices),
        )

    @property
    def _range_frames(self) -> float:
        if self.range_frames is not None:
            return self.range_frames
        repeated = self.indices[-1] == self.indices[-2]
        return self.indices[-1] - self.indices[0] + 1 + repeated
