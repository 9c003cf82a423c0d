"""Predictions as samples of pictures, whatever they were made of: of a video each frame is one."""

from collections.abc import Iterable, Iterator

from flmm.clip_sample import ClipSample
from flmm.structures import GroundingSample


def clips_alone(samples: Iterable[GroundingSample | ClipSample], *, metric: str) -> Iterator[ClipSample]:
    """Yield the samples of a batch.

    Args:
        samples: the batch.
        metric: names what is for clips alone.

    Raises:
        ValueError: one of them is of an image.
    """
    for sample in samples:
        if not isinstance(sample, ClipSample):
            raise ValueError(
                f'image {sample.image_path!r} of {sample.dataset_name!r} is no video, and {metric} is for videos '
                'alone; take GroundingMetric or DumpPredictions, which take images and the frames of videos'
            )
        yield sample


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
