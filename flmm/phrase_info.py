"""What a dataset says of a phrase beside its mask. Needs no torch, so that files can be scored without it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PhraseInfo:
    """What the dataset says of a phrase beside its mask; results are also reported by it.

    Args:
        kind: what kind of expression it is, such as 'comparison'; None where the dataset names none.
        thing: whether it names things (COCO panoptic), not stuff such as sky; None where the dataset does not say.
        plural: whether it names several; None where the dataset does not say.
        expression_id: what the dataset calls it, by which files of predictions are named; None where it has no name.
    """

    kind: str | None = None
    thing: bool | None = None
    plural: bool | None = None
    expression_id: str | None = None
