"""An image that the model has read, and can be asked about."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from flmm.datasets import unlabelled_item
from flmm.datasets.image_processor import ProcessedImage
from flmm.grounder.grounding import Grounding
from flmm.mask_logits import MaskLogits
from flmm.reading import ImageReading
from flmm.structures import GroundingSample

if TYPE_CHECKING:
    from flmm.grounder.grounder import Grounder

PHRASES_AT_ONCE = 32
"""So many independent phrases go through the model together; their attention maps are then dropped."""


@dataclass(kw_only=True, frozen=True)
class AttentionMaps:
    """What some words attend to in an image.

    Args:
        maps: [C, h, w] float32, on the grid of the image's last view.
        channels: C times (view, layer, head), each counted from 0, of the map.
    """

    maps: Tensor
    channels: list[tuple[int, int, int]]


class ReadImage:
    """An image that went through the vision part, the LMM and SAM's encoder once.

    Args:
        grounder: what reads phrases.
        image: as RGB.
        name: what messages call it.
        processed: what the LMM reads of it, with the prompt.
        reading: what LMM and SAM keep of it.
    """

    def __init__(
        self, *, grounder: 'Grounder', image: Image.Image, name: str, processed: ProcessedImage, reading: ImageReading
    ) -> None:
        self.grounder = grounder
        self.image = image
        self.name = name
        self.processed = processed
        self.reading = reading

    @torch.no_grad()
    def ground(self, phrases: Iterable[str]) -> Grounding:
        """Find phrases in the image.

        Args:
            phrases: what to find, any number of strings.

        Raises:
            ValueError: no list of strings, or a phrase without letters or digits, or with too many tokens.
        """
        phrases = self._checked(phrases)
        step = PHRASES_AT_ONCE if self.grounder.to_sample.independent else len(phrases)
        found = []
        for start in range(0, len(phrases), step):
            (sample,) = self.grounder.model([self.sample(phrases[start : start + step])], mode='predict')
            # Without its attention maps, which are what takes memory.
            found.append(sample.with_outputs(mask_attentions=None))
        judged = found[0].existence is not None
        return Grounding(
            image=self.image,
            phrases=phrases,
            coarse=MaskLogits.cat([sample.coarse for sample in found]),
            refined=MaskLogits.cat([sample.refined for sample in found]),
            scores=torch.cat([sample.sam_scores for sample in found]),
            existence=torch.cat([sample.existence for sample in found]) if judged else None,
            exists=torch.cat([sample.exists for sample in found]) if judged else None,
        )

    @torch.no_grad()
    def attention(self, words: str, *, all_heads: bool = False) -> AttentionMaps:
        """Return what the words attend to, averaged over their tokens, in each head that the mask head reads.

        Args:
            words: of any number of tokens.
            all_heads: in every head of the layers that are run, read by the mask head or not.

        Raises:
            ValueError: as :meth:`ground`.
        """
        model = self.grounder.model
        chosen = model.run_heads if all_heads else model.heads
        ((maps,), _) = model.run_lmm([self.sample(self._checked([words]))], heads=chosen)
        heads = [(layer, head) for layer, heads in chosen.items() for head in heads]
        channels = [(view, *head) for view in range(model.num_views) for head in heads]
        return AttentionMaps(maps=maps[0], channels=channels)

    def sample(self, phrases: list[str]) -> GroundingSample:
        """Return what the model takes of phrases of this image."""
        item = unlabelled_item(self.image, phrases, path=self.name)
        sample = self.grounder.to_sample.lay_out(item, self.processed)
        return sample.to(self.grounder.device).with_outputs(reading=self.reading)

    def _checked(self, phrases: Iterable[str]) -> list[str]:
        if isinstance(phrases, str):
            raise ValueError(f'image {self.name!r} has the string {phrases!r} for phrases; give a list of strings')
        if not isinstance(phrases, Iterable):
            raise ValueError(f'image {self.name!r} has {phrases!r} for phrases; give a list of strings')
        phrases = list(phrases)
        if not phrases:
            raise ValueError(f'image {self.name!r} has no phrase; give a list of strings')
        return phrases
