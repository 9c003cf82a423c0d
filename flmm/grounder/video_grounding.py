"""What was found of the phrases of one video.

Letters: F frames, M phrases, (IH, IW) a frame in px.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from flmm.grounder.grounding import Grounding
from flmm.grounder.video_outputs import described_video, save_video_masks

if TYPE_CHECKING:
    from flmm.models.sam.video_tracker import VideoTracker


@dataclass(kw_only=True, frozen=True, eq=False)
class VideoGrounding:
    """The masks of M phrases in F frames, kept small: at full size they may not fit into memory.

    It has a length, F, and gives what was found in a frame by its number, or in one frame after the other.

    Args:
        frames: what was found in each frame, of the same M phrases in each.
        frame_names: F names, which files are called after.
        indices: F numbers of these frames in the video that they were taken from, ascending.
        fps: how many of them are shown in a second.
        source_fps: how many frames the video itself has in a second.
        source_names: what all frames of the video are called; None where they are not known.
        name: what messages and files call the video.

    >>> found = grounder.read_video('clip.mp4').ground(['the red circle', 'the star that moves left'])
    >>> for frame_name, frame in zip(found.frame_names, found, strict=True):
    ...     print(frame_name, frame.masks.shape, frame.scores)
    """

    frames: list[Grounding]
    frame_names: list[str]
    indices: list[int]
    fps: float
    source_fps: float
    source_names: Sequence[str] | None = None
    name: str = 'video'

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, frame: int) -> Grounding:
        return self.frames[frame]

    def __iter__(self) -> Iterator[Grounding]:
        return iter(self.frames)

    @property
    def phrases(self) -> list[str]:
        """M strings, as they were given."""
        return self.frames[0].phrases

    @property
    def masks(self) -> Tensor:
        """[F, M, IH, IW] bool, all refined masks at full size. Those of one frame alone are ``found[i].masks``."""
        return torch.stack([frame.masks for frame in self.frames])

    @property
    def scores(self) -> Tensor:
        """[F, M] float, the IoU that SAM expects of each refined mask, mostly 0 to 1."""
        return torch.stack([frame.scores for frame in self.frames])

    @property
    def existence(self) -> Tensor | None:
        """[F, M] float, 0 to 1, how sure the model is that the frame has it; None where it does not judge that."""
        return _stacked([frame.existence for frame in self.frames])

    @property
    def exists(self) -> Tensor | None:
        """[F, M] bool, its verdict; None exactly where :attr:`existence` is."""
        return _stacked([frame.exists for frame in self.frames])

    def tracked(
        self, tracker: 'VideoTracker', *, num_key_frames: int = 1, frames: Sequence[Image.Image] | None = None
    ) -> 'VideoGrounding':
        """Keep the masks of each phrase's best frames, and let SAM 2 carry them through the others.

        The best frames are those of the highest score, times ``existence`` where that is judged, among those in which
        the phrase has a mask, and one that SAM 2 can track (:meth:`VideoTracker.keeps`).

        Args:
            tracker: SAM 2's model for video.
            num_key_frames: how many frames of each phrase are kept.
            frames: all frames of the video that these were taken from, RGB, of the same size, which then all have
                masks; they may be decoded when they are asked for. None: the frames of this grounding alone.

        Returns:
            A new grounding. All its masks are the tracker's, ``existence`` and ``exists`` say whether SAM 2 sees the
            object in the frame, and ``scores`` are those of the best of the masks that were kept. A phrase without
            such a mask in any frame has none, and score 0.

        Raises:
            ValueError: ``num_key_frames`` below 1, another number of frames than the video has, or frames that
                :meth:`VideoTracker.track` refuses.
            NonFiniteError: SAM 2 gave a nan or an infinity; the message names video and frame.

        >>> found = grounder.read_video(paths, sampling=FrameSampling(nframes=8)).ground(['the dog that runs'])
        >>> tracked = found.tracked(tracker, frames=[Image.open(path) for path in paths])
        """
        from flmm.models.sam.best_frames import best_masks  # here, since models are heavy

        given, scores = best_masks(
            [frame.refined for frame in self.frames],
            scores=[frame.scores for frame in self.frames],
            existence=[frame.existence for frame in self.frames],
            exists=[frame.exists for frame in self.frames],
            num=num_key_frames,
            keeps=tracker.keeps,
        )
        indices, names, fps = self.indices, self.frame_names, self.fps
        if frames is not None:
            if self.source_names is not None and len(frames) != len(self.source_names):
                raise ValueError(
                    f'frames are {len(frames)}, but video {self.name!r} has {len(self.source_names)}; give all of them'
                )
            if len(frames) and frames[0].size != self.frames[0].image.size:
                (width, height), own = frames[0].size, self.frames[0].image
                raise ValueError(
                    f'frames are of {width} x {height} px, but video {self.name!r} was read with {own.width} x '
                    f'{own.height}; give them in the size in which they were read'
                )
            given = [{indices[place]: mask for place, mask in masks.items()} for masks in given]
            indices, fps = list(range(len(frames))), self.source_fps
            names = [f'{index:05}' for index in indices] if self.source_names is None else [*self.source_names]
        frames = [frame.image for frame in self.frames] if frames is None else frames
        tracks = tracker.track(frames, given, name=self.name)
        found = [
            Grounding(
                image=frames[place],
                name=f'{self.name}/{name}',
                phrases=self.phrases,
                coarse=tracks.logits[place],
                refined=tracks.logits[place],
                scores=scores,
                existence=tracks.seen[place],
                exists=tracks.exists[place],
            )
            for place, name in enumerate(names)
        ]
        return replace(self, frames=found, frame_names=names, indices=indices, fps=fps)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the pixels, JSON-ready.

        Returns:
            ``video``, its name; ``width`` and ``height`` in px; ``fps``; ``frames``, F names; and ``phrases``, a dict
            for each with ``phrase``, and lists of F values under the names of YouTube-VIS: ``scores``, ``existence``,
            ``exists``, ``areas``, ``bboxes`` and ``segmentations``. A value is None where
            :meth:`flmm.grounder.Grounding.to_dict` has None.
        """
        return described_video(self)

    def save_png(self, folder: str | os.PathLike, *, overwrite: bool = False) -> list[Path]:
        """Write each refined mask as a black and white PNG of one bit a pixel, in the size of the video.

        Each phrase has a folder of its own, with a file for each frame: '1_the red circle/00000.png'. That is how
        Ref-YouTube-VOS and its like have the expressions of a video. A phrase that is not there has a black one.

        Args:
            folder: where to write; it is made where it does not exist.
            overwrite: removes folders with such names that lie there; without, they are an error.

        Returns:
            M folders, in the order of the phrases.

        Raises:
            ValueError: there are such folders, or the folder cannot be made.
        """
        return save_video_masks(self, folder, overwrite=overwrite)

    def overlays(self) -> Iterator[Image.Image]:
        """Draw the refined masks over each frame, one after the other, as :meth:`flmm.grounder.Grounding.overlay`."""
        for frame in self.frames:
            yield frame.overlay()

    def save_overlay(self, path: str | os.PathLike) -> None:
        """Write :meth:`overlays` as a moving picture.

        Args:
            path: ends in .gif, or in .mp4 where PyAV is installed.

        Raises:
            ValueError: another kind of file, or PyAV is missing.
        """
        from flmm.visualization.moving import save_moving  # here, since masks should not wait for matplotlib

        save_moving(self.overlays(), path, fps=self.fps)


def _stacked(values: list[Tensor | None]) -> Tensor | None:
    known = [value for value in values if value is not None]
    return torch.stack(known) if known else None
