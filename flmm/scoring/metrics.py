"""Metrics of referring segmentation, in percent, from how each phrase was scored.

Each metric is a sum over phrases divided by another one, and is written so: what each phrase adds to the numerator and
to the denominator. docs/evaluation.md defines them and names their sources.

Letters: P phrases, K metrics.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flmm.phrase_info import PhraseInfo
from flmm.scoring.bootstrap import bootstrap_intervals
from flmm.scoring.phrase_score import SOURCES, PhraseScore

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Of IoU, for precision."""
NUM_BOOTSTRAP = 1000
"""How many draws the intervals of tools/test.py and tools/score.py are estimated from."""
RECALLS: dict[str, Callable[[PhraseInfo], bool]] = {
    'AR': lambda info: info.thing is not None or info.plural is not None,
    'AR_things': lambda info: info.thing is True,
    'AR_stuff': lambda info: info.thing is False,
    'AR_singulars': lambda info: info.plural is False,
    'AR_plurals': lambda info: info.plural is True,
}
"""Average recall -> which phrases it is over (Panoptic Narrative Grounding, arXiv 2109.04988).

The recall at a threshold t is the share of phrases with IoU >= t, and the average is over all t from 0 to 1. In closed
form that is the mean IoU: a phrase of IoU x is recalled at every t up to x, which is a part x of all t. The published
code adds the recalls at 100,000 values of t instead, and so differs by at most one step of them, 1e-5.
"""
METRICS = ('mIoU', 'gIoU', 'cIoU', 'N_acc', 'T_acc', *(f'Pr@{threshold}' for threshold in THRESHOLDS), *RECALLS)
"""All metrics, in the order in which they are reported."""
METRICS_OF_KINDS = ('mIoU', 'N_acc')
"""Those that are also reported for each kind of expression."""


def grounding_metrics(scores: Sequence[PhraseScore], *, num_bootstrap: int = 0) -> dict[str, float]:
    """Compute all metrics that apply, for each test set, refined masks before coarse ones.

    Args:
        scores: The scores of the phrases of all test sets, in any order.
        num_bootstrap: number of draws for the 95 % interval of each metric; 0 for none.

    Returns:
        ``<test set>/<refined|coarse>/<metric>`` -> percent, ``.../<metric>/<kind>`` where the dataset names kinds, and
        for intervals ``.../<metric>_low[/<kind>]`` and ``.../<metric>_high[/<kind>]``, which are absent where a test
        set has a single image. A metric that applies to no phrase is absent, as is cIoU where no mask has a pixel.
    """
    members: dict[tuple[str, str], list[PhraseScore]] = {}
    for name in dict.fromkeys(score.dataset_name for score in scores):
        members.update({(name, source): [] for source in SOURCES})
    for score in scores:
        members[score.dataset_name, score.source].append(score)
    return {
        f'{name}/{source}/{key}': value
        for (name, source), group in members.items()
        if group
        for key, value in percentages(
            _ratios(group), [score.image for score in group], num_bootstrap=num_bootstrap
        ).items()
    }


def percentages(
    ratios: Mapping[str, tuple[np.ndarray, np.ndarray]], images: Sequence[str], *, num_bootstrap: int
) -> dict[str, float]:
    """Compute metrics of a test set, and their intervals.

    Args:
        ratios: ``<metric>`` or ``<metric>/<kind>`` -> two times [P]: what each of P phrases adds to the numerator, and
            to the denominator.
        images: P names of the images, or videos, that phrases belong to.
        num_bootstrap: number of draws for the 95 % intervals; 0 for none.

    Returns:
        The keys -> percent, and ``<metric>_low`` and ``<metric>_high``, with their kinds, for intervals.
    """
    intervals = np.full((len(ratios), 2), np.nan)  # [K, 2]
    if num_bootstrap:
        stacked = np.stack([np.stack(ratio) for ratio in ratios.values()])  # [K, 2, P]
        intervals = bootstrap_intervals(stacked, images, num_draws=num_bootstrap)
    percent = {}
    for (key, (numerator, denominator)), interval in zip(ratios.items(), intervals, strict=True):
        # fsum is exact, so that the order of phrases changes no digit
        percent[key] = 100 * math.fsum(numerator) / math.fsum(denominator)
        metric, slash, kind = key.partition('/')
        if not np.isnan(interval).any():
            percent[f'{metric}_low{slash}{kind}'], percent[f'{metric}_high{slash}{kind}'] = map(float, 100 * interval)
    return percent


def _ratios(scores: list[PhraseScore]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return what each phrase adds to the numerator and denominator of each metric that applies: two times [P]."""
    intersection, union, iou, target, says_absent = np.array(
        [(score.intersection, score.union, score.iou, score.has_target, score.says_absent) for score in scores],
        dtype=np.float64,
    ).T
    no_target = 1 - target
    ratios = {'mIoU': (iou * target, target), 'cIoU': (intersection, union)}
    if no_target.any():
        ratios['gIoU'] = (iou, np.ones_like(iou))
        ratios['N_acc'] = (says_absent * no_target, no_target)
        ratios['T_acc'] = ((1 - says_absent) * target, target)
    for threshold in THRESHOLDS:
        ratios[f'Pr@{threshold}'] = ((iou >= threshold) * target, target)
    for name, is_member in RECALLS.items():
        counted = target * [is_member(score.info) for score in scores]
        ratios[name] = (iou * counted, counted)
    ratios = {metric: ratios[metric] for metric in METRICS if metric in ratios}
    for kind in sorted({score.info.kind for score in scores} - {None}):
        of_kind = np.array([score.info.kind == kind for score in scores])
        for metric in METRICS_OF_KINDS:
            if metric in ratios:
                ratios[f'{metric}/{kind}'] = tuple(part * of_kind for part in ratios[metric])
    return {key: ratio for key, ratio in ratios.items() if ratio[1].any()}
