"""What was found of the phrases of one image.

Letters: M phrases, (IH, IW) the image in px.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from flmm.geometry import masks_to_boxes, nonempty
from flmm.grounder.outputs import described_phrases, save_masks
from flmm.mask_logits import MaskLogits
from flmm.rle import encode_masks
from flmm.structures import GroundingSample


@dataclass(kw_only=True, frozen=True, eq=False)
class Grounding:
    """The masks of M phrases, kept small: those of a hundred phrases of a large photograph would fill the memory.

    Args:
        image: the image as RGB, size (IW, IH).
        phrases: M strings, as they were given.
        coarse: logits of the coarse masks, before SAM.
        refined: logits of the refined masks.
        scores: [M] float, the IoU that SAM expects of each refined mask, mostly 0 to 1.
        existence: [M] float, 0 to 1, how sure the model is that the image has what a phrase says; None where it does
            not judge that.
        exists: [M] bool, its verdict; None exactly where ``existence`` is.
        name: what messages and files call the image.

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
    name: str = 'image'

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
        for _, masks in logits.mask_chunks(self.exists):
            yield masks

    @property
    def boxes(self) -> Tensor:
        """[M, 4] float, XYXY in px, around each refined mask; zeros where it is empty.

        These are edges, as ``torchvision.ops.box_iou`` and ``PIL.Image.crop`` take them: (x2, y2) is one past the last
        pixel of the mask, and the box of a single pixel has area 1. ``torchvision.ops.masks_to_boxes`` gives the last
        pixel itself, one less.
        """
        found = []
        for masks in self.mask_chunks():
            edges = masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1], device=masks.device)
            found.append(edges * nonempty(masks)[:, None])
        return torch.cat(found)

    def logits(self, *, coarse: bool = False) -> Tensor:
        """Return the logits behind the masks, [M, IH, IW] float32, which no verdict on existence has touched.

        They take 4 bytes a pixel and phrase.

        Args:
            coarse: give those before SAM.
        """
        return (self.coarse if coarse else self.refined).in_image().float()

    def to_rle(self) -> list[dict[str, Any]]:
        """Return the refined masks as COCO's compressed RLE, JSON-ready: ``size`` [IH, IW] and ``counts``, a string."""
        return [rle for masks in self.mask_chunks() for rle in encode_masks(masks.cpu().numpy())]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the image, JSON-ready.

        Returns:
            ``image``, its name; ``width`` and ``height`` in px; and ``phrases``, a dict for each with ``phrase``,
            ``score``, ``existence`` and ``exists`` (None where the model does not judge that), and under COCO's names
            ``area`` in px, ``bbox`` [x, y, width, height] in px, and ``segmentation``, the mask as in :meth:`to_rle`.
            These three are None for a phrase that is not there: by the verdict ``exists``, or where there is none, by a
            mask of no pixel. Where the verdict is that it is there, a mask of no pixel has no ``bbox`` alone.
        """
        return {
            'image': self.name,
            'width': self.image.width,
            'height': self.image.height,
            'phrases': described_phrases(self),
        }

    def save_png(self, folder: str | os.PathLike, *, overwrite: bool = False) -> list[Path]:
        """Write each refined mask as a black and white PNG of one bit a pixel, in the size of the image.

        Each phrase has a file of its own, since masks may overlap. Its name has the number that :meth:`overlay` shows,
        and the phrase, such as '1_the red circle.png'. A phrase that is not there has a black one.

        Args:
            folder: where to write; it is made where it does not exist.
            overwrite: removes files with such names that lie there; without, they are an error.

        Returns:
            M paths, in the order of the phrases.

        Raises:
            ValueError: there are such files, or the folder cannot be made.
        """
        return save_masks(self, folder, overwrite=overwrite)

    def overlay(self) -> Image.Image:
        """Draw the refined masks over the image, each in its colour and with a number; the legend below says of what.

        Returns:
            An RGB picture. The image is shrunk to 1,600 px, if a side of it is longer.
        """
        from flmm.visualization import draw_overlay  # here, since masks should not wait for matplotlib

        return draw_overlay(
            self.image,
            masks=(mask for masks in self.mask_chunks() for mask in masks),
            phrases=self.phrases,
            exists=None if self.exists is None else self.exists.tolist(),
        )

    def save_overlay(self, path: str | os.PathLike) -> None:
        """Write :meth:`overlay` to a file, whose kind Pillow tells by how its name ends."""
        self.overlay().save(path)


def joined(samples: Sequence[GroundingSample], *, image: Image.Image, order: Sequence[int] | None = None) -> Grounding:
    """Put what a model predicted of one image together.

    Args:
        samples: with all fields of the model, of the same image.
        image: the image as RGB.
        order: which phrase comes first, second, ..., counted over all samples. None: as they come.
    """
    phrases = [phrase for sample in samples for phrase in sample.phrases]
    order = list(range(len(phrases)) if order is None else order)
    coarse, refined = (
        MaskLogits.cat([getattr(sample, source) for sample in samples])[order] for source in ('coarse', 'refined')
    )
    judged = samples[0].existence is not None
    return Grounding(
        image=image,
        name=samples[0].image_path,
        phrases=[phrases[i] for i in order],
        coarse=coarse,
        refined=refined,
        scores=torch.cat([sample.sam_scores for sample in samples])[order],
        existence=torch.cat([sample.existence for sample in samples])[order] if judged else None,
        exists=torch.cat([sample.exists for sample in samples])[order] if judged else None,
    )
