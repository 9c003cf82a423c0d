"""From what the frozen parts say of phrases to their masks: mask head, then SAM, a bounded number of phrases at a time.

Letters: M masks (= phrases) of a sample, C attention maps of each, (h, w) their grid, (h', w') the mask head's,
(IH, IW) the image in px.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from flmm.geometry import FrameMetaData, image_cells, processed_to_image, resize_logits, whole_cells
from flmm.mask_logits import MaskLogits
from flmm.structures import FrozenFeatures, GroundingSample

Part = list[tuple[int, slice]]
"""Phrases that are decoded together: number of the sample, and which of its phrases."""


@dataclass(frozen=True, kw_only=True)
class DecodedMasks:
    """The masks of the phrases of one sample.

    Args:
        coarse: on the mask head's grid.
        refined: on SAM's grid.
        scores: [M], the IoU that SAM expects of each refined mask.
    """

    coarse: MaskLogits
    refined: MaskLogits
    scores: Tensor


@dataclass(frozen=True, kw_only=True)
class PhraseDecoder:
    """The way from attention maps to refined masks.

    Args:
        mask_head: takes [M, C, h, w], and [M, h, w] bool that says which cells show the image; gives [M, h', w'].
        sam: the SAMWrapper.
        padding_cut: 'exact' or 'whole_cells', see :class:`flmm.models.GroundingModel`.
    """

    mask_head: nn.Module
    sam: nn.Module
    padding_cut: str

    def decode(
        self,
        samples: Sequence[GroundingSample],
        features: Sequence[FrozenFeatures],
        text_embeds: Sequence[list[Tensor] | None],
        *,
        budget: int | None,
    ) -> list[DecodedMasks]:
        """Decode all phrases of a batch.

        Args:
            samples: the batch.
            features: what the frozen parts say of each sample.
            text_embeds: for each sample M tensors [tokens, sam_dim], or None where SAM reads no text.
            budget: so many numbers of maps and of masks in the image frame are worked on together; None: all.
        """
        found: list[list[DecodedMasks]] = [[] for _ in samples]
        for part in _parts(samples, features, budget):
            decoded = self._decode_part(
                [samples[i] for i, _ in part],
                [features[i].attentions[which] for i, which in part],
                [features[i].image_embedding for i, _ in part],
                [None if text_embeds[i] is None else text_embeds[i][which] for i, which in part],
            )
            for (i, _), masks in zip(part, decoded, strict=True):
                found[i].append(masks)
        return [
            DecodedMasks(
                coarse=MaskLogits.cat([masks.coarse for masks in parts]),
                refined=MaskLogits.cat([masks.refined for masks in parts]),
                scores=torch.cat([masks.scores for masks in parts]),
            )
            for parts in found
        ]

    def _decode_part(
        self,
        samples: list[GroundingSample],
        attentions: list[Tensor],
        embeddings: list[dict[str, Tensor]],
        text_embeds: list[list[Tensor] | None],
    ) -> list[DecodedMasks]:
        coarse = self.coarse(samples, attentions)
        refined = self.sam.refine(
            embeddings, [logits.image_size for logits in coarse], [logits.in_image() for logits in coarse], text_embeds
        )
        return [
            DecodedMasks(coarse=logits, refined=masks.logits, scores=masks.scores)
            for logits, masks in zip(coarse, refined, strict=True)
        ]

    def coarse(self, samples: Sequence[GroundingSample], attentions: Sequence[Tensor]) -> list[MaskLogits]:
        """Return the coarse masks of samples with these attention maps, [m_i, C, h_i, w_i]; SAM has no part in them."""
        return [
            MaskLogits(small=logits, image_size=sample.image_size, to_image=self._to_image(sample.meta_data))
            for sample, logits in zip(samples, self.coarse_logits(samples, attentions), strict=True)
        ]

    def coarse_logits(self, samples: Sequence[GroundingSample], attentions: Sequence[Tensor]) -> list[Tensor]:
        """Run the mask head once for each grid size: [m_i, C, h_i, w_i] -> [m_i, h'_i, w'_i] for each sample i."""
        logits: list[Tensor | None] = [None] * len(attentions)
        for grid in dict.fromkeys(maps.shape[-2:] for maps in attentions):
            members = [i for i, maps in enumerate(attentions) if maps.shape[-2:] == grid]
            maps = torch.cat([attentions[i] for i in members])  # [sum of m, C, h, w]
            inside = torch.cat([_shows_image(samples[i], len(attentions[i]), grid) for i in members])
            together = self.mask_head(maps, inside.to(maps.device))
            for i, part in zip(members, together.split([len(attentions[i]) for i in members]), strict=True):
                logits[i] = part
        return logits

    def _to_image(self, meta_data: FrameMetaData) -> partial[Tensor]:
        """Return what brings coarse logits to the image: [m, h', w'] -> [m, IH, IW]."""
        way = processed_to_image if self.padding_cut == 'exact' else _whole_cells_to_image
        return partial(way, meta_data=meta_data)


def _parts(
    samples: Sequence[GroundingSample], features: Sequence[FrozenFeatures], budget: int | None
) -> Iterator[Part]:
    """Split the phrases of a batch, in order, into parts that keep to the budget, or have one phrase."""
    part: Part = []
    left = budget
    for i, (sample, read) in enumerate(zip(samples, features, strict=True)):
        if budget is None:
            part.append((i, slice(None)))
            continue
        height, width = sample.image_size
        cost, start = read.attentions[0].numel() + height * width, 0
        while start < sample.num_masks:
            if part and left < cost:
                yield part
                part, left = [], budget
            stop = min(start + max(left // cost, 1), sample.num_masks)
            part.append((i, slice(start, stop)))
            left -= (stop - start) * cost
            start = stop
    yield part


def _whole_cells_to_image(logits: Tensor, meta_data: FrameMetaData) -> Tensor:
    rows, columns = whole_cells(meta_data, logits.shape[-2:])
    original = meta_data['original_shape']
    return resize_logits(logits[:, rows, columns], (original['height'], original['width']))


def _shows_image(sample: GroundingSample, num_masks: int, grid: Sequence[int]) -> Tensor:
    """Say for each phrase which cells of its maps show the image, not padding: [m, h, w] bool."""
    rows, columns = image_cells(sample.meta_data, grid)
    shows = torch.zeros(num_masks, *grid, dtype=torch.bool)
    shows[:, rows, columns] = True
    return shows
