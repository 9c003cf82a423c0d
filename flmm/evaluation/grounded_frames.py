"""Predictions as samples of pictures, whatever they were made of: of a video each frame is one."""

from collections.abc import Iterable, Iterator

from flmm.clip_sample import ClipSample
from flmm.structures import GroundingSample


def grounded_frames(clip: ClipSample) -> list[GroundingSample]:
    """Return the frames of a clip with their masks.

    Raises:
        ValueError: no model has made masks of it.
    """
    if clip.grounded is None:
        raise ValueError(f"video {clip.video_path!r} has no predicted masks; run the model on it with mode='predict'")
    return clip.grounded


def pictures_of(samples: Iterable[GroundingSample | ClipSample]) -> Iterator[GroundingSample]:
    """Yield the samples of a batch, of a clip its frames, which have the name and the number of the clip's item."""
    for sample in samples:
        yield from grounded_frames(sample) if isinstance(sample, ClipSample) else [sample]
