"""Metrics of referring segmentation in videos, in percent, from how each expression was scored.

J and F of an expression are means over all frames of its video, and a metric is the mean over expressions.
docs/evaluation.md defines them and names their sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from flmm.phrase_info import PhraseInfo
from flmm.scoring.metrics import percentages
from flmm.scoring.phrase_score import SOURCES

VIDEO_METRICS = ('J&F', 'J', 'F')
"""In the order in which they are reported, before N_acc and T_acc."""
VIDEO_METRICS_OF_KINDS = ('J&F',)
"""Those that are also reported for each kind of expression."""


@dataclass(frozen=True, kw_only=True)
class VideoScore:
    """How the predicted masks of an expression met their truth.

    Args:
        dataset_name: the test set.
        source: 'refined' or 'coarse'.
        video: names the video; its expressions are drawn together when intervals are estimated.
        region: J, the mean over frames, 0..1.
        contour: F, the mean over frames, 0..1.
        has_target: whether the expression means something in the video, by the truth of all frames.
        says_absent: whether the prediction says 'not there', in every frame.
        info: what the dataset says of the expression.
    """

    dataset_name: str
    source: str
    video: str
    region: float
    contour: float
    has_target: bool
    says_absent: bool
    info: PhraseInfo = field(default_factory=PhraseInfo)

    @property
    def kinds(self) -> list[str]:
        """Kinds that the expression counts in: of 'motion:stops', this one and 'motion'."""
        kind = self.info.kind
        return [] if kind is None else list(dict.fromkeys([kind.partition(':')[0], kind]))


def video_metrics(scores: Sequence[VideoScore], *, num_bootstrap: int = 0) -> dict[str, float]:
    """Compute all metrics that apply, for each test set, refined masks before coarse ones.

    Args:
        scores: The scores of the expressions of all test sets, in any order.
        num_bootstrap: number of draws for the 95 % interval of each metric; 0 for none.

    Returns:
        ``<test set>/<refined|coarse>/<J&F|J|F>`` -> percent, ``.../J&F/<kind>`` where the dataset names kinds,
        ``N_acc`` and ``T_acc`` where an expression has no target, and ``_low`` and ``_high`` as in
        :func:`flmm.scoring.grounding_metrics`. A metric that applies to no expression is absent.
    """
    members = {
        (name, source): [score for score in scores if (score.dataset_name, score.source) == (name, source)]
        for name in dict.fromkeys(score.dataset_name for score in scores)
        for source in SOURCES
    }
    return {
        f'{name}/{source}/{key}': value
        for (name, source), group in members.items()
        if group
        for key, value in percentages(
            _ratios(group), [score.video for score in group], num_bootstrap=num_bootstrap
        ).items()
    }


def _ratios(scores: list[VideoScore]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return what each expression adds to the numerator and denominator of each metric that applies: two times [P]."""
    region, contour, target, says_absent = np.array(
        [(score.region, score.contour, score.has_target, score.says_absent) for score in scores], dtype=np.float64
    ).T
    both, no_target = (region + contour) / 2, 1 - target
    ratios = {'J&F': (both * target, target), 'J': (region * target, target), 'F': (contour * target, target)}
    if no_target.any():
        ratios['N_acc'] = (says_absent * no_target, no_target)
        ratios['T_acc'] = ((1 - says_absent) * target, target)
    for kind in sorted({kind for score in scores for kind in score.kinds}):
        of_kind = np.array([kind in score.kinds for score in scores])
        for metric in (*VIDEO_METRICS_OF_KINDS, 'N_acc'):
            if metric in ratios:
                ratios[f'{metric}/{kind}'] = (ratios[metric][0] * of_kind, ratios[metric][1] * of_kind)
    return {key: ratio for key, ratio in ratios.items() if ratio[1].any()}
