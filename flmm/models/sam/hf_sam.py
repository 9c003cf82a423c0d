"""What transformers' SAMs have in common; letters as in :mod:`flmm.models.sam.backend`."""

import numpy as np
import torch
from torch import Tensor, nn
from transformers import BaseImageProcessor

from flmm.models.sam.backend import SamBackend


class HfSam(SamBackend):
    """A SAM of transformers; a subclass sets the parts and attributes of :class:`SamBackend`, and those below.

    Attributes:
        image_processor: brings an image into the SAM frame.
        positions: makes what the decoder knows of places: [..., 2] (x, y) in 0..1 -> [..., C].
    """

    image_processor: BaseImageProcessor
    positions: nn.Module

    @property
    def mask_reader(self) -> nn.Module:
        """See :attr:`SamBackend.mask_reader`."""
        return self.prompt_encoder.mask_embed

    def pixels(self, image: np.ndarray) -> Tensor:
        """Bring an image into the SAM frame as transformers' image processor does, on the CPU."""
        # A copy, since what PIL gives may not be written to, of which torch warns. That the channels come last would
        # else be guessed, and wrongly for an image 3 px high.
        return self.image_processor(image.copy(), input_data_format='channels_last', return_tensors='pt').pixel_values[
            0
        ]

    def prompts(self, boxes: Tensor | None, masks: Tensor | None, *, num_masks: int) -> tuple[Tensor, Tensor]:
        """See :meth:`SamBackend.prompts`."""
        sparse, dense = self.prompt_encoder(
            input_points=None,
            input_labels=None,
            input_boxes=None if boxes is None else boxes[:, None],
            input_masks=masks,
        )
        dense = dense.expand(num_masks, -1, -1, -1)
        return dense.new_zeros(num_masks, 0, self.text_dim) if sparse is None else sparse[:, 0], dense

    def decode(
        self, embedding: dict[str, Tensor], sparse: Tensor, dense: Tensor, *, multimask_output: bool
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`SamBackend.decode`."""
        # transformers' decoders take images, each with prompts of several masks, and one dense prompt for them all. A
        # mask has its own dense prompt here, so each is an image with one mask.
        logits, iou_scores, *_ = self.mask_decoder(
            image_embeddings=embedding['image'],
            image_positional_embeddings=self._grid_positions(),
            sparse_prompt_embeddings=sparse[:, None],
            dense_prompt_embeddings=dense,
            multimask_output=multimask_output,
            **self._beside_image(embedding),
        )
        return logits[:, 0], iou_scores[:, 0]

    def _beside_image(self, embedding: dict[str, Tensor]) -> dict:
        """Name what the decoder takes of the embedding beside 'image', and its options, as its arguments."""
        raise NotImplementedError

    def _grid_positions(self) -> Tensor:
        """[1, C, e, e]: the positions of the centres of the image embedding's cells."""
        side = self.embedding_shapes['image'][-1]
        device = next(self.mask_decoder.parameters()).device
        with torch.autocast(device.type, enabled=False):
            centres = (torch.arange(side, device=device) + 0.5) / side
            x_and_y = torch.stack(torch.meshgrid(centres, centres, indexing='xy'), dim=-1)
            return self.positions(x_and_y).permute(2, 0, 1)[None]  # [1, C, e, e]
