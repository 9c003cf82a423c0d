"""The refiner: SAM, prompted by a coarse mask, its box and the phrase.

Letters: B images, M masks, T text tokens of a phrase, (IH, IW) the image frame in px, L the side of SAM's square input
in px, C the prompt width, e the side of the image embedding; SAM's masks and mask prompts have 4e cells a side.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from flmm.geometry import boxes_to_sam, largest_component, logits_to_sam, masks_to_boxes, sam_content_size
from flmm.models.sam import ResizeLongestSide, Sam
from flmm.registry import MODELS

BOX_SOURCES = ('mask', 'component')


@MODELS.register_module()
class SAMWrapper(nn.Module):
    """SAM as F-LMM (CVPR 2025) uses it: image encoder frozen, prompt encoder and mask decoder trained.

    Each mask is prompted by up to three things: its phrase's hidden states as extra sparse tokens, its coarse logits as
    SAM's mask prompt, and the box around them. Mask and box are detached: the coarse mask answers to its own loss
    alone, so that it stays a mask; the refined mask's loss reaches the phrase, the prompt encoder and the decoder.

    Args:
        sam: a ``Sam``, or the config of one (``dict(type='build_sam', ...)``).
        use_text: prompt with the phrase.
        use_mask: prompt with the coarse logits.
        use_box: prompt with the box.
        box_from: ``'mask'``, the box around all of the coarse mask (F-LMM), or ``'component'``, the box around its best
            connected component (:func:`flmm.geometry.largest_component`), which stray foreground cannot widen.

    Raises:
        ValueError: no prompt in use, or an unknown ``box_from``.
    """

    def __init__(
        self,
        *,
        sam: Sam | dict[str, Any],
        use_text: bool = True,
        use_mask: bool = True,
        use_box: bool = True,
        box_from: str = 'mask',
    ):
        super().__init__()
        if not (use_text or use_mask or use_box):
            raise ValueError('SAM needs a prompt: set at least one of use_text, use_mask, use_box')
        if box_from not in BOX_SOURCES:
            raise ValueError(f'box_from {box_from!r} is unknown; use one of {BOX_SOURCES}')
        self.model: Sam = MODELS.build(sam) if isinstance(sam, dict) else sam
        self.use_text = use_text
        self.use_mask = use_mask
        self.use_box = use_box
        self.box_from = box_from
        self.resize = ResizeLongestSide(self.model.image_encoder.img_size)
        self.model.image_encoder.requires_grad_(requires_grad=False)
        self.train(self.training)

    @property
    def text_dim(self) -> int:
        """C, the width text embeddings must have."""
        return self.model.prompt_encoder.embed_dim

    def train(self, mode: bool = True) -> 'SAMWrapper':  # noqa: FBT001, FBT002 - nn.Module's signature
        """Switch the trained parts; the frozen image encoder stays in eval mode."""
        super().train(mode)
        self.model.image_encoder.eval()
        return self

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image | np.ndarray]) -> Tensor:
        """Run the image encoder over a batch; sizes may differ.

        Preprocessing is that of ``segment_anything.SamPredictor``: resized as uint8, normalized, padded to a square.

        Args:
            images: B PIL images, or uint8 RGB arrays [IH, IW, 3].

        Returns:
            [B, C, e, e] without gradient; one of them feeds :meth:`forward`.

        Raises:
            ValueError: no image, an array that is not uint8 [IH, IW, 3], or an image too thin for the SAM frame.
        """
        if not images:
            raise ValueError('encode_images needs at least one image')
        inputs = []
        for image in images:
            array = np.asarray(image.convert('RGB') if isinstance(image, Image.Image) else image)
            if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
                raise ValueError(f'images must be uint8 [IH, IW, 3], got {array.dtype} of shape {array.shape}')
            sam_content_size(array.shape[:2], self.resize.target_length)  # names the image that is too thin
            pixels = torch.as_tensor(self.resize.apply_image(array), device=self.model.device)
            inputs.append(self.model.preprocess(pixels.permute(2, 0, 1)))
        return self.model.image_encoder(torch.stack(inputs))

    def forward(
        self,
        image_embedding: Tensor,
        image_size: Sequence[int],
        coarse_logits: Tensor,
        text_embeds: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Refine the masks of one image.

        Args:
            image_embedding: [C, e, e], from :meth:`encode_images`.
            image_size: (IH, IW).
            coarse_logits: [M, IH, IW]; M may be 0.
            text_embeds: M tensors [T, C], T may differ; not read where ``use_text`` is off.

        Returns:
            [M, IH, IW] float32 logits, differentiable in the prompt encoder, the mask decoder and ``text_embeds``.

        Raises:
            ValueError: shapes that do not fit together.
        """
        image_size = tuple(image_size)
        self._check(image_embedding, image_size, coarse_logits, text_embeds)
        num_masks = len(coarse_logits)
        if num_masks == 0:
            return coarse_logits.new_zeros(coarse_logits.shape, dtype=torch.float32)

        sparse, dense, image_pe = self._encode_prompts(coarse_logits.detach(), image_size)
        # The decoder takes masks with equal numbers of tokens together.
        groups: dict[int, list[int]] = {}
        for index in range(num_masks):
            groups.setdefault(len(text_embeds[index]) if self.use_text else 0, []).append(index)
        low_res = []
        for indices in groups.values():
            tokens = sparse[indices]
            if self.use_text:
                text = torch.stack([text_embeds[index] for index in indices])
                tokens = torch.cat([tokens, text.to(tokens)], dim=1)
            logits, _ = self.model.mask_decoder(
                image_embeddings=image_embedding[None],
                image_pe=image_pe,
                sparse_prompt_embeddings=tokens,
                dense_prompt_embeddings=dense[indices],
                multimask_output=False,
            )
            low_res.append(logits.float())
        order = torch.tensor([index for indices in groups.values() for index in indices])
        low_res = torch.cat(low_res)[order.argsort().to(coarse_logits.device)]
        content_size = sam_content_size(image_size, self.resize.target_length)
        return self.model.postprocess_masks(low_res, content_size, image_size)[:, 0]

    def _encode_prompts(self, coarse_logits: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Encode boxes and masks: [M, 0 or 2, C] sparse, [M, C, e, e] dense; and the [1, C, e, e] positions."""
        encoder = self.model.prompt_encoder
        num_masks, sam_size = len(coarse_logits), self.resize.target_length
        boxes = mask_prompts = None
        if self.use_box:
            foreground = largest_component(coarse_logits) if self.box_from == 'component' else coarse_logits > 0
            boxes = boxes_to_sam(masks_to_boxes(foreground), image_size, sam_size)
        if self.use_mask:
            mask_prompts = logits_to_sam(coarse_logits, sam_size, encoder.mask_input_size)[:, None]
        # Positions are sines of px / L times a frequency: half precision would be off by several px.
        with torch.autocast(coarse_logits.device.type, enabled=False):
            sparse, dense = encoder(points=None, boxes=boxes, masks=mask_prompts)
            image_pe = encoder.get_dense_pe()
        return sparse.expand(num_masks, -1, -1), dense.expand(num_masks, -1, -1, -1), image_pe

    def _check(
        self,
        image_embedding: Tensor,
        image_size: tuple[int, int],
        coarse_logits: Tensor,
        text_embeds: Sequence[Tensor] | None,
    ) -> None:
        embedding_shape = (self.text_dim, *self.model.prompt_encoder.image_embedding_size)
        if image_embedding.shape != embedding_shape:
            raise ValueError(
                f'image_embedding must be {embedding_shape}, got {tuple(image_embedding.shape)}; '
                'pass one row of what encode_images returns'
            )
        if coarse_logits.ndim != 3 or coarse_logits.shape[1:] != image_size:
            raise ValueError(
                f'coarse_logits must be [M, {image_size[0]}, {image_size[1]}], got {tuple(coarse_logits.shape)}; '
                'bring them to the image frame with flmm.geometry.processed_to_image'
            )
        if not self.use_text:
            return
        num_embeds = 0 if text_embeds is None else len(text_embeds)
        if num_embeds != len(coarse_logits):
            raise ValueError(
                f'got {num_embeds} text_embeds for {len(coarse_logits)} masks; pass one per mask, or use_text=False'
            )
        for index, embed in enumerate(text_embeds or ()):
            if embed.ndim != 2 or embed.shape[1] != self.text_dim:
                raise ValueError(
                    f'text_embeds[{index}] must be [tokens, {self.text_dim}], got {tuple(embed.shape)}; '
                    'project the hidden states to text_dim'
                )
