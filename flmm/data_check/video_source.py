"""A dataset of videos that can be checked."""

from dataclasses import dataclass

from flmm.datasets import ClipToSample, LoadVideoMasks, RefVideoDataset


@dataclass(kw_only=True)
class VideoSource:
    """A dataset of videos, and the steps of its pipeline.

    Args:
        label: loader and name of the dataset, such as 'val/shapes_video_val'.
        loader: 'train', 'val' or 'test'.
        dataset: gives the items.
        load_masks: draws its masks; None where the pipeline draws none.
        to_clip: reads its frames and phrases.
    """

    label: str
    loader: str
    dataset: RefVideoDataset
    load_masks: LoadVideoMasks | None
    to_clip: ClipToSample


def video_source(dataset: RefVideoDataset, *, label: str, loader: str) -> VideoSource | None:
    """Return the dataset with its steps; None where its pipeline does not end in ClipToSample."""
    steps = dataset.pipeline.transforms
    if not steps or not isinstance(steps[-1], ClipToSample):
        return None
    dataset.full_init()
    load_masks = next((step for step in steps if isinstance(step, LoadVideoMasks)), None)
    return VideoSource(label=label, loader=loader, dataset=dataset, load_masks=load_masks, to_clip=steps[-1])
