"""What a dataset says of an image: phrases, each with its mask or none; or that the image was left out."""

from dataclasses import dataclass, field

from flmm.datasets.annotation_file import Id
from flmm.structures import PhraseInfo


@dataclass(kw_only=True)
class Target:
    """What phrases mean in an image.

    Args:
        texts: the phrases, each with what is said of it. All mean the same.
        mask: Polygons, an RLE, a file or a union (LoadMasks); None where they mean nothing in the image.
        ignore: what no metric counts, in one of these forms; None for nothing.
        ann_id: names the annotation in messages.
    """

    texts: list[tuple[str, PhraseInfo]]
    mask: list | dict | None
    ignore: list | dict | None = None
    ann_id: Id | list[Id] | None = None


@dataclass(kw_only=True)
class Item:
    """An image and what is said of it.

    Args:
        img_path: where the image lies.
        img_id: its id in the annotations.
        annotated_size: (height, width) in px that masks were drawn on; None where only the image says it.
        targets: What is meant, in the order of the phrases.
        caption: what was written about the image, where the phrases are parts of it: pieces of text that are no phrase,
            and numbers of targets, which then have one text each.
    """

    img_path: str
    img_id: Id
    annotated_size: tuple[int, int] | None
    targets: list[Target] = field(default_factory=list)
    caption: list[str | int] | None = None


@dataclass(kw_only=True, frozen=True)
class SkippedItem:
    """What stands in a batch for an item that no sample could be made of.

    Args:
        reason: the error, which names the image.
    """

    reason: str
