"""Predicted masks, kept as small as the model made them, and brought to the image where they are looked at."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK_PIXELS = 2**25
"""So many px of masks in the image frame are looked at together, at least one mask: 128 MiB of float32 logits."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskLogits:
    """Logits of M masks on a small grid, and the way from there to the image frame.

    A hundred masks of a photograph of 12 megapixels are 4.8 GB of logits; on SAM's grid of 256 x 256 they are 26 MB.
    What :meth:`in_image` makes of one mask does not depend on the others, to the last bit.

    Args:
        small: [M, h, w] float logits on the grid on which the model predicts.
        image_size: (IH, IW), the image frame in px.
        to_image: brings [m, h, w] of them to the image frame, [m, IH, IW], each mask by itself.
    """

    small: Tensor
    image_size: tuple[int, int]
    to_image: Callable[[Tensor], Tensor]

    @classmethod
    def from_image(cls, logits: Tensor) -> 'MaskLogits':
        """Take logits that are in the image frame already, [M, IH, IW]."""
        return cls(small=logits, image_size=tuple(logits.shape[-2:]), to_image=_unchanged)

    @classmethod
    def cat(cls, parts: Sequence['MaskLogits']) -> 'MaskLogits':
        """Put masks of one image and one grid behind one another."""
        if len(parts) == 1:
            return parts[0]
        small = torch.cat([part.small for part in parts])
        return cls(small=small, image_size=parts[0].image_size, to_image=parts[0].to_image)

    def __len__(self) -> int:
        return len(self.small)

    def __getitem__(self, which: list[int]) -> 'MaskLogits':
        """Return some of the masks, in the order given."""
        return MaskLogits(small=self.small[which], image_size=self.image_size, to_image=self.to_image)

    def in_image(self, which: slice = slice(None)) -> Tensor:
        """Return the logits of the masks ``which`` in the image frame: [m, IH, IW], differentiable in ``small``."""
        return self.to_image(self.small[which])

    def masks(self, exists: Tensor | None = None) -> Tensor:
        """Return the masks, [M, IH, IW] bool, in no more memory than they take and that of a chunk of logits.

        Args:
            exists: [M] bool; the mask of a phrase that does not exist is empty. None: all do.
        """
        found = torch.empty(len(self), *self.image_size, dtype=torch.bool, device=self.small.device)
        for which, masks in self.mask_chunks(exists):
            found[which] = masks
        return found

    def mask_chunks(self, exists: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
        """Yield the masks a few at a time, so that those of a large image need not all be in memory.

        Args:
            exists: [M] bool; the mask of a phrase that does not exist is empty. None: all do.

        Yields:
            Which masks, and they themselves, [m, IH, IW] bool: logits above 0.
        """
        for which in self.chunks():
            masks = self.in_image(which) > 0
            yield which, masks if exists is None else masks & exists[which, None, None]

    def chunks(self) -> Iterator[slice]:
        """Say which masks to look at together so that memory stays bounded: all of them, in order."""
        height, width = self.image_size
        step = max(CHUNK_PIXELS // (height * width), 1)
        for start in range(0, len(self), step):
            yield slice(start, min(start + step, len(self)))


def _unchanged(logits: Tensor) -> Tensor:
    return logits
