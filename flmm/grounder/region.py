"""The region of an image that an answer depends on, and masks found in a region brought back to the image."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from flmm.geometry import masks_to_boxes
from flmm.grounder.answer import Answer
from flmm.grounder.grounding import Grounding
from flmm.mask_logits import MaskLogits

if TYPE_CHECKING:
    from flmm.grounder.read_image import ReadImage

Box = tuple[int, int, int, int]
WHICH_OBJECT = 'Which object must be seen to answer this? {question}'
"""What the LMM is asked first where nobody says which object matters."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """A part of an image that was read, and why it is looked at.

    Args:
        box: left, top, right and bottom in px of the image; right and bottom are one past the last px.
        about: the words for the object in it; None where the box was given.
        found: where the object is, by the first reading; None where the box was given.
        asked: the LMM's answer to which object matters; None where that was given.
    """

    box: Box
    about: str | None = None
    found: Grounding | None = None
    asked: Answer | None = None


def find_region(
    read: 'ReadImage', question: str, *, about: str | None, which: str, margin: float, min_side: int
) -> Region:
    """Find what the answer to a question depends on, and the region around it.

    Args:
        read: the image.
        question: what is to be answered.
        about: words for the object; None asks the LMM, and takes what it marks in its answer, or else the first noun
            phrase.
        which: how the LMM is asked, with ``{question}``.
        margin: what is added on each side of the mask's box, as a share of its longer side.
        min_side: px that the region's sides have at least.

    Raises:
        ValueError: a ``which`` without question; the LMM names nothing; or the mask is empty, also where the model
            judges that the object is not there.
    """
    asked = None
    if about is not None:
        found = read.ground([about])
    else:
        if '{question}' not in which:
            raise ValueError(f"which is {which!r}, expected text with '{{question}}' in it")
        asked = read.chat(which.replace('{question}', question))
        spans = asked.marked or asked.noun_phrases().spans
        if not spans:
            raise ValueError(f'the LMM names no object for {question!r}, it says {asked.text!r}; name one by about')
        found = asked.ground(spans[:1])
        (about,) = found.phrases
    (mask,) = found.masks
    if not mask.any():
        raise ValueError(
            f'nothing was found of {about!r} in image {read.name!r}, so there is no region to look at; name another '
            'object by about, or ask without a closer look (chat)'
        )
    box = region_around(mask, margin=margin, min_side=min_side)
    return Region(box=box, about=about, found=found, asked=asked)


def region_around(mask: Tensor, *, margin: float, min_side: int) -> Box:
    """Return the box of a mask with a margin, within the image.

    Args:
        mask: [IH, IW] bool, not empty.
        margin: what is added on each side, as a share of the longer side of the mask's box.
        min_side: px that both sides have at least, as far as the image has them.

    Returns:
        Left, top, right and bottom in px; right and bottom are one past the last px.

    Raises:
        ValueError: a negative margin, a ``min_side`` below 1, or an empty mask.
    """
    if not 0 <= margin < math.inf:
        raise ValueError(f'margin is {margin}, expected a share of the longer side, 0 or more')
    if min_side < 1:
        raise ValueError(f'min_side is {min_side}, expected 1 px or more')
    if not mask.any():
        raise ValueError('the mask is empty, so nothing says where the region is')
    left, top, right, bottom = map(int, masks_to_boxes(mask[None])[0].tolist())
    added = margin * max(right + 1 - left, bottom + 1 - top)
    (left, right), (top, bottom) = (
        _widened(start - added, stop + 1 + added, side=side, least=min_side)
        for start, stop, side in ((left, right, mask.shape[1]), (top, bottom, mask.shape[0]))
    )
    return left, top, right, bottom


def _widened(start: float, stop: float, *, side: int, least: int) -> tuple[int, int]:
    """Widen an interval to whole px and to ``least`` of them, on both sides alike where 0..side has room for that."""
    first, end = math.floor(start), math.ceil(stop)
    missing = max(least - (end - first), 0)
    first, end = max(first - missing // 2, 0), min(end + missing - missing // 2, side)
    if end - first < least:  # at a border: what is missing lies on the other side
        first, end = (0, min(least, side)) if first == 0 else (max(side - least, 0), side)
    return first, end


def check_box(box: Box, image: Image.Image) -> Box:
    """Return a box as four integers.

    Raises:
        ValueError: it is no box of whole px within the image.
    """
    message = f'box is {box!r}, expected left, top, right and bottom in whole px'
    try:
        numbers = tuple(int(number) for number in box)
    except (OverflowError, TypeError, ValueError) as error:  # infinity, no list, letters or NaN
        raise ValueError(message) from error
    if len(numbers) != 4 or numbers != tuple(box):
        raise ValueError(message)
    left, top, right, bottom = numbers
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        raise ValueError(
            f'box is {box!r}, expected 0 <= left < right <= {image.width} and 0 <= top < bottom <= {image.height}, '
            'the width and height of the image'
        )
    return numbers


def in_whole_image(found: Grounding, *, box: Box, image: Image.Image) -> Grounding:
    """Bring what was found in a crop to the image that it was cut out of: there is nothing outside of the crop.

    Args:
        found: what was found in the crop, whose px are the image's.
        box: the crop, in px of the image.
        image: the image.
    """
    return replace(
        found,
        image=image,
        coarse=_pasted(found.coarse, box=box, image=image),
        refined=_pasted(found.refined, box=box, image=image),
    )


def _pasted(logits: MaskLogits, *, box: Box, image: Image.Image) -> MaskLogits:
    left, top, right, bottom = box
    sides = (left, image.width - right, top, image.height - bottom)
    return MaskLogits(
        small=logits.small,
        image_size=(image.height, image.width),
        to_image=partial(_padded, to_crop=logits.to_image, sides=sides),  # which a pickle can hold, as no lambda
    )


def _padded(small: Tensor, *, to_crop: Callable[[Tensor], Tensor], sides: tuple[int, int, int, int]) -> Tensor:
    return F.pad(to_crop(small), sides, value=-math.inf)
