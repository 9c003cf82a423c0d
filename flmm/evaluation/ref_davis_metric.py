"""The metrics of Ref-DAVIS as its figures are published, while a model runs."""

import reprlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from flmm.clip_sample import VOID, ClipSample
from flmm.evaluation.grounded_frames import clips_alone, grounded_frames
from flmm.evaluation.video_metric import VideoMetric
from flmm.phrase_info import PhraseInfo
from flmm.registry import METRICS
from flmm.scoring import LabelledVideo, VideoScore
from flmm.scoring.phrase_score import SOURCES
from flmm.structures import GroundingSample

NUM_ANNOTATORS = 4
"""So many people have written an expression for each object of Ref-DAVIS (Khoreva et al., arXiv 1803.08006)."""


@METRICS.register_module()
class RefDavisMetric(VideoMetric):
    """J&F, J and F of Ref-DAVIS, in percent, by test set, refined and coarse; and J&F of each annotator.

    Expression i of a video is annotator i % 4's, of object i // 4, as ReferFormer's files have it. The expressions of
    an annotator are merged into one picture of labels, which is scored by DAVIS 2017's unsupervised task: labels are
    matched to true objects, pixels of index 255 are left out, and all frames count. A metric is the mean over the
    objects of all videos, then over annotators. docs/evaluation.md has the details.

    Keys are those of :class:`VideoMetric`: the first is the refined J&F. To have both, give one of them a ``prefix``.

    Args:
        num_bootstrap: number of draws, of videos, for the 95 % interval of each metric; 0 for none.
        collect_device: 'cpu' or 'gpu', as in every mmengine metric.
        prefix: put before each key, as in every mmengine metric.

    >>> test_evaluator = dict(type='RefDavisMetric', num_bootstrap=1000)
    """

    def process(self, data_batch: dict, data_samples: Sequence[ClipSample]) -> None:
        """Score a batch: a result for each clip, which is a whole video.

        Raises:
            ValueError: a sample of an image, or a clip without predictions, without palettes, or without all
                expressions of its video.
        """
        for clip in clips_alone(data_samples, metric='RefDavisMetric'):
            self.results.append(list(ref_davis_scores(clip)))


def ref_davis_scores(clip: ClipSample) -> Iterator[VideoScore]:
    """Score each true object of a clip, annotator by annotator: refined masks, then coarse ones if there are any.

    Raises:
        ValueError: the clip has no palettes, its first frame shows no object, or it does not have the expressions of
            all annotators for all objects, in the order of ReferFormer's files.
    """
    grounded, where = grounded_frames(clip), f'video {clip.video_path!r} of {clip.dataset_name!r}'
    _check_expressions(clip, where=where)
    if clip.gt_objects is None:
        raise ValueError(
            f'{where} has no palettes, by which RefDavisMetric knows its objects and the pixels to leave out; set '
            "has_void=True and data_prefix['mask_path'] of its RefVideoDataset"
        )
    objects = clip.gt_objects.cpu().numpy()  # [F, IH, IW]
    num_objects = int(objects[0][objects[0] != VOID].max(initial=0))  # in the first frame alone, as DAVIS's tool has it
    if not num_objects:
        raise ValueError(
            f'{where} shows no object in its first frame, where DAVIS has all that are scored; leave it out, or take '
            'frames and palettes from one release'
        )
    for source in SOURCES:
        if any(getattr(sample, source) is None for sample in grounded):
            continue  # a tracker's masks are refined ones alone
        video = LabelledVideo(
            num_pictures=NUM_ANNOTATORS, num_labels=clip.num_masks // NUM_ANNOTATORS, num_objects=num_objects
        )
        for sample, true in zip(grounded, objects, strict=True):
            video.add(merged_labels(sample, source).cpu().numpy(), true, ignored=true == VOID)
        region, contour = video.scores()
        for annotator, index in np.ndindex(region.shape):
            yield VideoScore(
                dataset_name=clip.dataset_name,
                source=source,
                video=clip.video_path,
                region=float(region[annotator, index]),
                contour=float(contour[annotator, index]),
                has_target=True,
                says_absent=False,
                info=PhraseInfo(kind=f'annotator_{annotator}'),
            )


def merged_labels(sample: GroundingSample, source: str) -> Tensor:
    """Merge the masks of a frame into one picture of labels for each annotator.

    A pixel belongs to the expression that is surest of it, among those whose mask has it; to the first of equals.

    Returns:
        [4, IH, IW] int16: 1 + the number of the object that the expression is about; 0 in no mask.
    """
    logits, verdict = getattr(sample, source), sample.verdict(source)
    size, device = (NUM_ANNOTATORS, *logits.image_size), logits.small.device
    labels = torch.zeros(size, dtype=torch.int16, device=device)
    # By logits: these tell apart pixels whose probabilities are rounded to 1. A mask is where they are above 0.
    surest = torch.zeros(size, dtype=torch.promote_types(logits.small.dtype, torch.float32), device=device)
    for which in logits.chunks():
        for index, mask in zip(range(which.start, which.stop), logits.in_image(which), strict=True):
            if verdict is None or verdict[index]:
                annotator = index % NUM_ANNOTATORS
                is_surer = mask > surest[annotator]
                labels[annotator].masked_fill_(is_surer, 1 + index // NUM_ANNOTATORS)
                surest[annotator] = torch.where(is_surer, mask, surest[annotator])
    return labels


def _check_expressions(clip: ClipSample, *, where: str) -> None:
    """Refuse a part of the expressions of a video, and those that are not in the order of ReferFormer's files."""
    found = [info.expression_id for info in clip.phrase_infos]
    if found != [str(index) for index in range(len(found))] or len(found) % NUM_ANNOTATORS:
        raise ValueError(
            f'{where} has {len(found)} expressions in one item, with the ids {reprlib.repr(found)}; RefDavisMetric '
            f"needs those of all {NUM_ANNOTATORS} annotators for all objects, '0', '1', '2', ..., the first "
            f'{NUM_ANNOTATORS} of the first object: set group_by_video=True of its RefVideoDataset without '
            'max_expressions, and take the file as ReferFormer converts it'
        )
