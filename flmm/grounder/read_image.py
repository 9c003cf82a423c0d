"""An image that the model has read, and can be asked about."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from flmm.datasets.image_processor import ProcessedImage
from flmm.grounder.grounding import Grounding, joined
from flmm.grounder.image_conversation import ImageConversation
from flmm.grounder.phrases import check_phrases
from flmm.grounder.prepared_image import PreparedImage
from flmm.mask_logits import MaskLogits
from flmm.reading import ImageReading
from flmm.structures import GroundingSample

if TYPE_CHECKING:
    from flmm.grounder.grounder import Grounder

PHRASES_AT_ONCE = 32
"""So many independent phrases go through the model together; their attention maps are then dropped."""


@dataclass(kw_only=True, frozen=True, eq=False)
class AttentionMaps:
    """What some words attend to in an image.

    Args:
        maps: [C, h, w] float32, on the grid of the image's last view.
        channels: C times (view, layer, head), each counted from 0, of the map.
    """

    maps: Tensor
    channels: list[tuple[int, int, int]]


class ReadImage(ImageConversation):
    """An image that went through the vision part, the LMM and SAM's encoder once.

    Args:
        grounder: what reads phrases.
        prepared: the image, and what the LMM reads of it, with the prompt.
        reading: what LMM and SAM keep of it. Where ``image_embedding`` is empty, SAM's encoder runs when masks are
            first asked for.
    """

    def __init__(self, *, grounder: 'Grounder', prepared: PreparedImage, reading: ImageReading) -> None:
        self.grounder = grounder
        self.prepared = prepared
        self.reading = reading
        self.shown = [prepared.processed]

    @property
    def image(self) -> Image.Image:
        """The image as RGB."""
        return self.prepared.image

    @property
    def name(self) -> str:
        """What messages call the image."""
        return self.prepared.name

    @property
    def processed(self) -> ProcessedImage:
        """What the LMM reads of the image, with the prompt."""
        return self.prepared.processed

    @cached_property
    @torch.no_grad()
    def reading_for_masks(self) -> ImageReading:
        """What LMM and SAM keep of the image. SAM's encoder runs now, if it has not yet."""
        if self.reading.image_embedding:
            return self.reading
        (embedding,) = self.grounder.model.sam.encode_images([self.image])
        return replace(self.reading, image_embedding=embedding)

    def ground(self, phrases: Iterable[str]) -> Grounding:
        """Find phrases in the image.

        Args:
            phrases: what to find, any number of strings.

        Raises:
            ValueError: no list of strings, or a phrase without letters or digits, or with too many tokens.
        """
        return self.found_of(self.sample(part) for part in self._parts(phrases))

    def coarse(self, phrases: Iterable[str]) -> MaskLogits:
        """Return the coarse masks of phrases alone: no part of SAM runs, so that it takes a fraction of the time.

        Args:
            phrases: as for :meth:`ground`, whose :attr:`Grounding.coarse` this is.
        """
        samples = (self._sample(part, self.reading) for part in self._parts(phrases))
        return MaskLogits.cat([masks for sample in samples for masks in self.grounder.model.coarse([sample])])

    def found_of(self, samples: Iterable[GroundingSample], *, order: list[int] | None = None) -> Grounding:
        """Let the model find the phrases of samples of this image, one sample after the other.

        Args:
            samples: with ``reading_for_masks``.
            order: which phrase comes first, second, ..., counted over all samples. None: as they come.
        """
        found = []
        for sample in samples:
            (predicted,) = self.grounder.model([sample], mode='predict')
            # Without its attention maps, which are what takes memory.
            found.append(predicted.with_outputs(mask_attentions=None))
        return joined(found, image=self.image, order=order)

    @torch.no_grad()
    def attention(self, words: str, *, all_heads: bool = False) -> AttentionMaps:
        """Return what the words attend to, averaged over their tokens, in each head that the mask head reads.

        Args:
            words: what to follow, any number of tokens.
            all_heads: whether to return every head of the layers that are run, read by the mask head or not.

        Raises:
            ValueError: words that :meth:`ground` refuses.
        """
        model = self.grounder.model
        chosen = model.run_heads if all_heads else model.heads
        ((maps,), _) = model.run_lmm([self.sample([words])], heads=chosen)
        heads = [(layer, head) for layer, heads in chosen.items() for head in heads]
        channels = [(view, *head) for view in range(model.num_views) for head in heads]
        return AttentionMaps(maps=maps[0], channels=channels)

    def sample(self, phrases: list[str]) -> GroundingSample:
        """Return what the model takes of phrases of this image."""
        return self._sample(phrases, self.reading_for_masks)

    def _sample(self, phrases: list[str], reading: ImageReading) -> GroundingSample:
        sample = self.prepared.sample(phrases, to_sample=self.grounder.to_sample)
        return sample.with_outputs(reading=reading).to(self.grounder.device)

    def _parts(self, phrases: Iterable[str]) -> Iterator[list[str]]:
        """Split phrases, once they are checked, into those that go through the model together."""
        phrases = check_phrases(phrases, asked=f'image {self.name!r}')
        step = PHRASES_AT_ONCE if self.grounder.to_sample.independent else len(phrases)
        return (phrases[start : start + step] for start in range(0, len(phrases), step))
