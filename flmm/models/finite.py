"""Numbers that are not finite are an error that names the sample and the stage, never a mask."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from flmm.structures import FrozenFeatures, GroundingSample


class NonFiniteError(ValueError):
    """A nan or an infinity where a number should be."""


def check_predictions(grounded: Sequence[GroundingSample], features: Sequence[FrozenFeatures]) -> None:
    """Check what the model says of each sample, and what it made that from.

    Args:
        grounded: samples with all fields of the model.
        features: What the frozen parts say of the same samples.

    Raises:
        NonFiniteError: naming the image and the first stage that gave a nan or an infinity.
    """
    check_finite(
        (sample.image_path, stage, tensor)
        for sample, read in zip(grounded, features, strict=True)
        for stage, tensor in (
            ("the LMM's attention", read.attentions),
            ("the LMM's hidden states", read.hidden_states),
            *(("SAM's image encoder", part) for part in read.image_embedding.values()),
            ('the mask head', sample.coarse.small),
            *(() if sample.text_embeds is None else [('the projection of text', torch.cat(sample.text_embeds))]),
            ("SAM's mask decoder", sample.refined.small),
            *(() if sample.sam_scores is None else [("SAM's scores", sample.sam_scores)]),
            *(() if sample.existence is None else [('the existence head', sample.existence)]),
        )
    )


def check_finite(tensors: Iterable[tuple[str, str, Tensor]]) -> None:
    """Check tensors in the order in which they were computed.

    Args:
        tensors: (name of the image, stage of the model, what it computed) each.

    Raises:
        NonFiniteError: naming the first that holds a nan or an infinity.
    """
    tensors = list(tensors)
    # One answer for all: each one by itself would make the GPU wait.
    finite = torch.stack([tensor.isfinite().all() for _, _, tensor in tensors]).tolist()
    for (name, stage, tensor), is_finite in zip(tensors, finite, strict=True):
        if not is_finite:
            count = int((~tensor.isfinite()).sum())
            raise NonFiniteError(
                f'image {name!r}: {stage} gave {count} of {tensor.numel()} numbers that are not finite. '
                'A float16 model that overflows does this: load it in bfloat16 or float32'
            )
