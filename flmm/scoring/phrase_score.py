"""How one predicted mask meets its truth: what metrics count and pictures print."""

from dataclasses import dataclass, field

from flmm.phrase_info import PhraseInfo

SOURCES = ('refined', 'coarse')
"""Which masks are scored, the final ones first."""


@dataclass(frozen=True, kw_only=True)
class PhraseScore:
    """How one predicted mask met its truth, in pixels; those that are to be ignored are counted nowhere.

    Args:
        dataset_name: the test set.
        source: 'refined' or 'coarse'.
        image: names the image; the phrases of an image are drawn together when intervals are estimated.
        info: what the dataset says of the phrase.
        intersection: px in both masks. The mask of a prediction that says 'not there' is empty.
        union: px in either mask.
        has_target: whether the phrase means something in the image, by the whole of the truth mask.
        says_absent: whether the prediction says 'not there'.
    """

    dataset_name: str
    source: str
    image: str
    intersection: int
    union: int
    has_target: bool
    says_absent: bool
    info: PhraseInfo = field(default_factory=PhraseInfo)

    @property
    def iou(self) -> float:
        """Intersection over union; 0 where no mask has a pixel that counts, as in mmdet.

        Of a phrase without a target (GRES, arXiv 2306.00968): 1 where the prediction says so, else 0.
        """
        if not self.has_target:
            return float(self.says_absent)
        return self.intersection / self.union if self.union else 0.0
