"""Two sets of predictions for the same truths, phrase by phrase: which are won, and which lost."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flmm.scoring.matching import Pair, score_pairs
from flmm.scoring.predictions_file import Rle, Truth

OUTCOMES = ('won', 'lost', 'tied')
ROUNDING = 1e-9
"""By how much the difference of two IoUs may be off in float64, as 0.8 - 0.7 is; none of two masks is so small."""


@dataclass(frozen=True, kw_only=True)
class ComparedPhrase:
    """The refined masks that two sets of predictions have for a phrase.

    Args:
        truth: What the phrase means.
        masks: The masks of the first and of the second set; None for 'not there'.
        ious: The IoUs of both, 0 to 1 (:attr:`flmm.scoring.PhraseScore.iou`).
        outcome: How the first set stands against the second, one of :data:`OUTCOMES`.
    """

    truth: Truth
    masks: tuple[Rle | None, Rle | None]
    ious: tuple[float, float]
    outcome: str

    @property
    def difference(self) -> float:
        """By how much the first set is better, -1 to 1."""
        return self.ious[0] - self.ious[1]


def compare(pairs: Sequence[Pair], others: Sequence[Pair], *, margin: float) -> list[ComparedPhrase]:
    """Compare predictions with others, by the IoU of refined masks.

    Args:
        pairs: Predictions and truths, as :func:`flmm.scoring.match_lines` pairs them.
        others: Other predictions with the same truths in the same order.
        margin: A difference of IoU, 0 to 1; phrases that differ by no more are tied.

    Returns:
        All phrases, from the one that is won by most to the one that is lost by most.

    Raises:
        ValueError: the margin is none of 0 to 1.
    """
    if not 0 <= margin <= 1:
        raise ValueError(f'margin is {margin}, expected a difference of IoU, 0 to 1')
    compared = []
    for pair, other in zip(pairs, others, strict=True):
        ious, masks = [], []
        for prediction, truth in (pair, other):
            score = next(
                score for score in score_pairs([(prediction, truth)], test_set='') if score.source == 'refined'
            )
            ious.append(score.iou)
            masks.append(None if score.says_absent else prediction.masks['refined'])
        is_tied = abs(ious[0] - ious[1]) <= margin + ROUNDING
        outcome = 'tied' if is_tied else 'won' if ious[0] > ious[1] else 'lost'
        compared.append(ComparedPhrase(truth=pair[1], masks=tuple(masks), ious=tuple(ious), outcome=outcome))
    return sorted(compared, key=lambda phrase: -phrase.difference)


def count_outcomes(compared: Sequence[ComparedPhrase]) -> dict[str, int]:
    """Count how many phrases are won, lost and tied."""
    counts = Counter(phrase.outcome for phrase in compared)
    return {outcome: counts[outcome] for outcome in OUTCOMES}
