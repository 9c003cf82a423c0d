"""A dataset whose items a test gives, with masks on images of 60x80 px."""

from flmm.datasets import GroundingDataset, Item, Target
from flmm.structures import PhraseInfo


class Given(GroundingDataset):
    """A dataset of given items."""

    def __init__(self, *, items, **kwargs):
        self.items = items
        super().__init__(**kwargs)

    def load_items(self):
        return self.items


def rectangle(width, height):
    """The polygon of a rectangle at the upper left."""
    return [[0, 0, width, 0, width, height, 0, height]]


def target(mask, *texts, ann_id=None, **info):
    return Target(texts=[(text, PhraseInfo(**info)) for text in texts], mask=mask, ann_id=ann_id)


def item(path, *targets, size=(60, 80)):
    return Item(img_path=path, img_id=1, annotated_size=size, targets=list(targets))
