"""What is found at an image, as a worker hands it on."""

from dataclasses import dataclass, field

from flmm.data_check.problems import Problem
from flmm.structures import PhraseInfo


@dataclass(kw_only=True)
class ItemFindings:
    """What one item of a dataset holds.

    Args:
        source: number of the dataset.
        image_tokens: how many tokens the image has for the LMM, at most; None where its size is not known.
        infos: what is said of each phrase.
        lengths: The length in tokens of each phrase that can be tokenized.
        shares: The area of each mask as a share of its image, 0 to 1.
        num_no_target: how many phrases mean nothing in the image.
        num_several: how many mean several objects, where the annotation tells.
    """

    source: int
    image_tokens: int | None = None
    infos: list[PhraseInfo] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    num_no_target: int = 0
    num_several: int = 0


@dataclass(kw_only=True)
class ImageFindings:
    """What was found at an image.

    Args:
        identity: the same for images of the same pixels; of the same path where pixels were not read.
        size: (height, width) in px; None where it cannot be read.
        items: What was found in the items of all datasets.
        problems: each once, with all datasets that have it.
    """

    identity: bytes | str
    size: tuple[int, int] | None
    items: list[ItemFindings]
    problems: list[Problem]
