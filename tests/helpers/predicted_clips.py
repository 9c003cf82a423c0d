"""Clips whose frames have given predictions, for tests of what comes after the model."""

from torch import Tensor

from flmm.clip_sample import ClipSample
from flmm.structures import GroundingSample


def clip_of(
    frames: list[GroundingSample], *, gt_masks: Tensor | None = None, video_path: str = 'videos/0'
) -> ClipSample:
    """A clip of predicted frames of one item; ``gt_masks``: [F, M, IH, IW] bool."""
    return ClipSample(
        sequences=frames[:1],
        frames=[sample.image for sample in frames],
        shown_in=[(0, 0)] * len(frames),
        frame_names=[f'{frame:05d}' for frame in range(len(frames))],
        video_path=video_path,
        gt_masks=gt_masks,
        dataset_name=frames[0].dataset_name,
        sample_idx=frames[0].sample_idx,
        grounded=frames,
    )
