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

from flmm.geometry import (
    boxes_to_sam,
    largest_component,
    logits_to_sam,
    masks_to_boxes,
    sam_content_size,
    sam_to_image,
)
from flmm.models.sam import ResizeLongestSide, Sam
from flmm.registry import MODELS

BOX_SOURCES = ('mask', 'component')


@MODELS.register_module()
class SAMWrapper(nn.Module):
    """SAM as F-LMM (CVPR 2025) uses it: image encoder frozen, prompt encoder and mask decoder trained.

    Each mask is prompted by up to three things: its phrase's hidden states as extra sparse tokens, its coarse logits as
    SAM's mask prompt, and the box around them. The refined mask's loss reaches the phrase, the prompt encoder and the
    decoder; the mask head through the mask prompt, too, unless that is detached (a box has no gradient).

    Args:
        sam: a ``Sam``, or the config of one (``dict(type='build_sam', ...)``).
        use_text: prompt with the phrase.
        use_mask: prompt with the coarse logits.
        use_box: prompt with the box.
        box_from: ``'mask'``, the box around all of the coarse mask (F-LMM), or ``'component'``, the box around its best
            connected component (:func:`flmm.geometry.largest_component`), which stray foreground cannot widen.
        detach_mask_prompt: keep the refined mask's loss from the mask head, so that the coarse mask answers to its own
            loss alone. It gets better by that, the refined one worse (docs/coming_from_f_lmm.md).

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
        detach_mask_prompt: bool = False,
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
        self.detach_mask_prompt = detach_mask_prompt
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
        return self.refine([image_embedding], [image_size], [coarse_logits], [text_embeds])[0]

    def refine(
        self,
        image_embeddings: Sequence[Tensor],
        image_sizes: Sequence[Sequence[int]],
        coarse_logits: Sequence[Tensor],
        text_embeds: Sequence[Sequence[Tensor] | None],
    ) -> list[Tensor]:
        """Refine the masks of several images together: :meth:`forward`, with a list of each argument."""
        image_sizes = [tuple(size) for size in image_sizes]
        arguments = list(zip(image_embeddings, image_sizes, coarse_logits, text_embeds, strict=True))
        for of_image in arguments:
            self._check(*of_image)
        num_masks = [len(logits) for logits in coarse_logits]
        if sum(num_masks) == 0:
            return [logits.float() for logits in coarse_logits]
        prompts = [self._prompts(logits, size) for logits, size in zip(coarse_logits, image_sizes, strict=True)]
        sparse, dense = self._encode_prompts(*map(_concatenated, zip(*prompts, strict=True)), total=sum(num_masks))
        # The decoder adds the dense prompts to the one image that it takes. Masks of several images share a call when
        # each brings its image along with its dense prompt, and the one image is zero.
        index = torch.repeat_interleave(torch.tensor(num_masks))
        dense = dense + torch.stack(list(image_embeddings))[index.to(dense.device)]
        texts = [text for of_image in text_embeds for text in of_image] if self.use_text else None
        low_res = self._decode(sparse, dense, texts).split(num_masks)
        return [
            sam_to_image(masks[:, 0], self.resize.target_length, size)
            for masks, size in zip(low_res, image_sizes, strict=True)
        ]

    def _decode(self, sparse: Tensor, dense: Tensor, texts: list[Tensor] | None) -> Tensor:
        """Run the decoder once for each number of tokens: [M, 0 or 2, C], [M, C, e, e] -> [M, 1, 4e, 4e] float32."""
        groups: dict[int, list[int]] = {}
        for index in range(len(dense)):
            groups.setdefault(0 if texts is None else len(texts[index]), []).append(index)
        with torch.autocast(dense.device.type, enabled=False):
            image_pe = self.model.prompt_encoder.get_dense_pe()
        low_res = []
        for indices in groups.values():
            tokens = sparse[indices]
            if texts is not None:
                tokens = torch.cat([tokens, torch.stack([texts[index] for index in indices]).to(tokens)], dim=1)
            logits, _ = self.model.mask_decoder(
                image_embeddings=torch.zeros_like(dense[:1]),
                image_pe=image_pe,
                sparse_prompt_embeddings=tokens,
                dense_prompt_embeddings=dense[indices],
                multimask_output=False,
            )
            low_res.append(logits.float())
        order = torch.tensor([index for indices in groups.values() for index in indices])
        return torch.cat(low_res)[order.argsort().to(dense.device)]

    def _prompts(self, coarse_logits: Tensor, image_size: tuple[int, int]) -> tuple[Tensor | None, Tensor | None]:
        """Derive what SAM is given of M coarse masks: boxes [M, 4], and masks [M, 1, 4e, 4e]."""
        boxes = masks = None
        if self.use_box:
            foreground = largest_component(coarse_logits) if self.box_from == 'component' else coarse_logits > 0
            boxes = boxes_to_sam(masks_to_boxes(foreground), image_size, self.resize.target_length)
        if self.use_mask:
            size = self.model.prompt_encoder.mask_input_size
            if self.detach_mask_prompt:
                coarse_logits = coarse_logits.detach()
            masks = logits_to_sam(coarse_logits, self.resize.target_length, size)[:, None]
        return boxes, masks

    def _encode_prompts(self, boxes: Tensor | None, masks: Tensor | None, *, total: int) -> tuple[Tensor, Tensor]:
        """Encode the prompts of all masks: [total, 0 or 2, C] sparse, [total, C, e, e] dense."""
        device = self.model.device
        # Positions are sines of px / L times a frequency: half precision would be off by several px.
        with torch.autocast(device.type, enabled=False):
            sparse, dense = self.model.prompt_encoder(points=None, boxes=boxes, masks=masks)
        return sparse.expand(total, -1, -1), dense.expand(total, -1, -1, -1)

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


def _concatenated(parts: Sequence[Tensor | None]) -> Tensor | None:
    return None if parts[0] is None else torch.cat(parts)
