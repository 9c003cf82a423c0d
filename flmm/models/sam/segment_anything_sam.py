"""SAM (Kirillov et al., "Segment Anything", 2023) as segment_anything publishes it."""

from typing import Any

import numpy as np
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor, nn

from flmm.models.sam.backend import SamBackend
from flmm.models.sam.frame import SamFrame


class SegmentAnythingSam(Sam, SamBackend):
    """segment_anything's Sam, which may be used as one; its parameters have their published names.

    Args:
        **parts: those of ``segment_anything.modeling.Sam``.

    >>> sam = SegmentAnythingSam(image_encoder=encoder, prompt_encoder=prompt_encoder, mask_decoder=decoder)
    >>> sam.embedding_shapes
    {'image': (256, 64, 64)}
    """

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.frame = SamFrame(side=self.image_encoder.img_size)
        self.text_dim = self.prompt_encoder.embed_dim
        self.embedding_shapes = {'image': (self.text_dim, *self.prompt_encoder.image_embedding_size)}

    @property
    def mask_reader(self) -> nn.Module:
        """See :attr:`SamBackend.mask_reader`."""
        return self.prompt_encoder.mask_downscaling

    def unreached_prompts(self, *, boxes: bool) -> list[nn.Module]:
        """See :meth:`SamBackend.unreached_prompts`."""
        kinds = self.prompt_encoder.point_embeddings  # not this object, this object, a box's first corner, its second
        return [self.prompt_encoder.not_a_point_embed, *(kinds[:2] if boxes else kinds)]

    def pixels(self, image: np.ndarray) -> Tensor:
        """As in ``segment_anything.SamPredictor``: resized as uint8, normalized, padded to the square."""
        resized = ResizeLongestSide(self.frame.side).apply_image(image)
        return self.preprocess(torch.as_tensor(resized, device=self.device).permute(2, 0, 1))  # [3, L, L]

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """See :meth:`SamBackend.encode`."""
        return {'image': self.image_encoder(pixels)}

    def prompts(self, boxes: Tensor | None, masks: Tensor | None, *, num_masks: int) -> tuple[Tensor, Tensor]:
        """See :meth:`SamBackend.prompts`; T is 2, the corners of the box."""
        sparse, dense = self.prompt_encoder(points=None, boxes=boxes, masks=masks)
        return sparse.expand(num_masks, -1, -1), dense.expand(num_masks, -1, -1, -1)

    def decode(
        self, embedding: dict[str, Tensor], sparse: Tensor, dense: Tensor, *, multimask_output: bool
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`SamBackend.decode`."""
        with torch.autocast(dense.device.type, enabled=False):
            image_pe = self.prompt_encoder.get_dense_pe()
        # The decoder adds the dense prompts to the one image that it takes. Masks of several images share a call when
        # each brings its image along with its dense prompt, and the one image is zero.
        return self.mask_decoder(
            image_embeddings=torch.zeros_like(dense[:1]),
            image_pe=image_pe,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense + embedding['image'],
            multimask_output=multimask_output,
        )
