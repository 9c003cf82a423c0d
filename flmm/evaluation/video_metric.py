"""The metrics of masks in videos, while a model runs."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from flmm.clip_sample import ClipSample
from flmm.evaluation.grounded_frames import clips_alone, grounded_frames
from flmm.registry import METRICS
from flmm.scoring import VideoScore, contour_accuracy, region_similarity, video_metrics
from flmm.scoring.phrase_score import SOURCES
from flmm.structures import GroundingSample


@METRICS.register_module()
class VideoMetric(BaseMetric):
    """All metrics of :func:`flmm.scoring.video_metrics`, in percent, by test set, refined and coarse.

    The first key is the refined J&F of the first test set: ``save_best='auto'`` of mmengine's CheckpointHook takes the
    first. Pixels that frames ignore count neither in J nor in F. Clips without truth have no metrics
    (:class:`flmm.evaluation.DumpVideoMasks` writes their masks).

    Args:
        num_bootstrap: number of draws for the 95 % interval of each metric; 0 for none.
        collect_device: 'cpu' or 'gpu', as in every mmengine metric.
        prefix: put before each key, as in every mmengine metric.

    >>> test_evaluator = dict(type='VideoMetric', num_bootstrap=1000)
    """

    def __init__(self, *, num_bootstrap: int = 0, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.num_bootstrap = num_bootstrap

    def process(self, data_batch: dict, data_samples: Sequence[ClipSample]) -> None:
        """Score a batch: a result for each clip, which is an item of the dataset, also where it has no truth.

        Raises:
            ValueError: a sample of an image, or a clip without predictions.
        """
        for clip in clips_alone(data_samples, metric='VideoMetric'):
            self.results.append([] if clip.gt_masks is None else list(clip_scores(clip)))

    def compute_metrics(self, results: list[list[VideoScore]]) -> dict[str, float]:
        """Return the metrics, in percent."""
        return video_metrics(list(itertools.chain.from_iterable(results)), num_bootstrap=self.num_bootstrap)


def clip_scores(clip: ClipSample) -> Iterator[VideoScore]:
    """Score the refined masks of a clip, expression by expression, then the coarse ones, as far as there are any.

    Raises:
        ValueError: the clip's truth is not known.
    """
    if clip.gt_masks is None:
        raise ValueError(
            f'video {clip.video_path!r} of {clip.dataset_name!r} has no truth masks, so its predictions have no score'
        )
    grounded = grounded_frames(clip)
    truth = clip.gt_masks.cpu().numpy()  # [F, M, IH, IW]
    has_target = truth.any(axis=(0, 2, 3))  # [M]
    for source in SOURCES:
        if any(getattr(sample, source) is None for sample in grounded):
            continue  # a tracker's masks are refined ones alone
        per_frame = [_score_frame(sample, source, masks) for sample, masks in zip(grounded, truth, strict=True)]
        region, contour, found = (np.stack(values) for values in zip(*per_frame, strict=True))  # [F, M] each
        for index, info in enumerate(clip.phrase_infos):
            yield VideoScore(
                dataset_name=clip.dataset_name,
                source=source,
                video=clip.video_path,
                region=float(region[:, index].mean()),
                contour=float(contour[:, index].mean()),
                has_target=bool(has_target[index]),
                says_absent=not found[:, index].any(),
                info=info,
            )


def _score_frame(sample: GroundingSample, source: str, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return J, F and whether something is said to be there, [M] each, of a frame with truth [M, IH, IW]."""
    region, contour = (np.empty(len(truth)) for _ in range(2))
    found = np.empty(len(truth), dtype=bool)
    counted = None if sample.ignore_masks is None else ~sample.ignore_masks.cpu().numpy()  # [M, IH, IW]
    for which, masks in sample.mask_chunks(source):
        predicted, true = masks.cpu().numpy(), truth[which]
        found[which] = predicted.any(axis=(1, 2))
        if counted is not None:
            predicted, true = predicted & counted[which], true & counted[which]
        region[which] = region_similarity(predicted, true)
        contour[which] = contour_accuracy(predicted, true)
    verdict = sample.verdict(source)
    return region, contour, found if verdict is None else verdict.cpu().numpy()
