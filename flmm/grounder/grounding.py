"""What was found of the phrases of one image.

Letters: M phrases, (IH, IW) the image in px.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from flmm.geometry import masks_to_boxes
from flmm.mask_logits import MaskLogits
from flmm.rle import encode_masks


@dataclass(kw_only=True, frozen=True)
class Grounding:
    """The masks of M phrases, kept small: those of a hundred phrases of a large photograph would fill the memory.

    Args:
        image: as RGB, size (IW, IH).
        phrases: M strings, as they were given.
        coarse: logits of the coarse masks, before SAM.
        refined: logits of the refined masks.
        scores: [M] float, the IoU that SAM expects of each refined mask, mostly 0 to 1.
        existence: [M] float, 0 to 1, how sure the model is that the image has what a phrase says; None where it does
            not judge that.
        exists: [M] bool, its verdict; None exactly where ``existence`` is.

    >>> found = grounder.read('photo.jpg').ground(['the red triangle on the left', 'the star'])
    >>> found.masks.shape, found.boxes.shape
    (torch.Size([2, 480, 640]), torch.Size([2, 4]))
    """

    image: Image.Image
    phrases: list[str]
    coarse: MaskLogits
    refined: MaskLogits
    scores: Tensor
    existence: Tensor | None = None
    exists: Tensor | None = None

    def __len__(self) -> int:
        return len(self.phrases)

    @property
    def masks(self) -> Tensor:
        """[M, IH, IW] bool, the refined masks; empty for a phrase that is judged absent. Made anew at each access."""
        return self.refined.masks(self.exists)

    @property
    def coarse_masks(self) -> Tensor:
        """[M, IH, IW] bool, the masks before SAM; otherwise as :attr:`masks`."""
        return self.coarse.masks(self.exists)

    def mask_chunks(self, source: str = 'refined') -> Iterator[Tensor]:
        """Yield the masks a few at a time, [m, IH, IW] bool, in the order of the phrases.

        Args:
            source: 'refined' or 'coarse'.
        """
        logits: MaskLogits = getattr(self, source)
        for which in logits.chunks():
            masks = logits.in_image(which) > 0
            yield masks if self.exists is None else masks & self.exists[which, None, None]

    @property
    def boxes(self) -> Tensor:
        """[M, 4] float, XYXY in px, around each refined mask; zeros where it is empty."""
        found = []
        for masks in self.mask_chunks():
            some = masks.flatten(1).any(dim=1, keepdim=True)
            found.append(masks_to_boxes(masks).float() * some)
        return torch.cat(found)

    def to_rle(self) -> list[dict[str, Any]]:
        """Return the refined masks as COCO's compressed RLE, JSON-ready: ``size`` [IH, IW] and ``counts``, a string."""
        return [rle for masks in self.mask_chunks() for rle in encode_masks(masks.cpu().numpy())]
