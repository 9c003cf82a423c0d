"""What the frozen parts say of a sample.

Letters: M masks (= phrases), C channels, (h, w) the grid of the last view, R tokens of all phrases, e the side of SAM's
image embedding.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(kw_only=True)
class FrozenFeatures:
    """What the frozen parts say of one sample: all that the trained ones read of its image and text.

    Args:
        attentions: [M, C, h, w] float32, attention of each phrase to the image, by view, by layer, then by head.
        hidden_states: [layers, R, hidden], of the R phrase tokens, phrase by phrase.
        image_embedding: what SAM's image encoder makes of the image: 'image' [sam_dim, e, e], and what else SAM's
            decoder reads of it, by name (:attr:`flmm.models.sam.SamBackend.embedding_shapes`).
        made_by: which frozen parts made them, as ``FrozenLMM.frozen_parts`` says it; None where a model's own did.
    """

    attentions: Tensor
    hidden_states: Tensor
    image_embedding: dict[str, Tensor]
    made_by: dict[str, str | None] | None = None
