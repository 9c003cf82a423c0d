"""Several images through the model together, each read once for all of its phrases."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from flmm.grounder.grounding import Grounding, joined
from flmm.grounder.prepared_image import PreparedImage
from flmm.structures import GroundingSample

if TYPE_CHECKING:
    from flmm.grounder.grounder import Grounder

PHRASES_AT_ONCE = 64
"""So many independent phrases of all images go through the model together; their attention maps are then dropped."""


@torch.no_grad()
def ground_batch(
    grounder: 'Grounder', images: Sequence[PreparedImage], phrases: Sequence[Sequence[str]]
) -> list[Grounding]:
    """Ground phrases in several images, each with its own.

    What is found differs from that of :meth:`flmm.grounder.Grounder.read` in the last digits that a batch rounds. The
    same batch gives the same bits.

    Args:
        grounder: whose model runs.
        images: the images, one or more; their tokens and pixels are in memory together.
        phrases: those of each image, one or more.

    Returns:
        What was found in each image.

    Raises:
        ValueError: an image or a phrase that the grounder refuses.
    """
    to_sample, device = grounder.to_sample, grounder.device
    readings = grounder.model.read_images([image.beginning(to_sample=to_sample).to(device) for image in images])
    found: list[list[GroundingSample]] = [[] for _ in images]
    for part in _parts(phrases, most=PHRASES_AT_ONCE if to_sample.independent else None):
        samples = [
            images[i].sample(list(phrases[i][which]), to_sample=to_sample).with_outputs(reading=readings[i]).to(device)
            for i, which in part
        ]
        for (i, _), predicted in zip(part, grounder.model(samples, mode='predict'), strict=True):
            # Without its attention maps, which are what takes memory.
            found[i].append(predicted.with_outputs(mask_attentions=None))
    return [joined(parts, image=image.image) for image, parts in zip(images, found, strict=True)]


def _parts(phrases: Sequence[Sequence[str]], *, most: int | None) -> Iterator[list[tuple[int, slice]]]:
    """Split the phrases of all images, in order, into parts of at most so many; None: all phrases are one part."""
    part: list[tuple[int, slice]] = []
    left = most
    for i, own in enumerate(phrases):
        start = 0
        while start < len(own):
            if left == 0:
                yield part
                part, left = [], most
            stop = len(own) if left is None else min(start + left, len(own))
            part.append((i, slice(start, stop)))
            left = None if left is None else left - (stop - start)
            start = stop
    yield part
