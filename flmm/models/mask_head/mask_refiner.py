"""The refiner: a SAM, prompted by a coarse mask, its box and the phrase.

Letters: B images, M masks, K candidates of a mask, T text tokens of a phrase, (IH, IW) the image frame in px, C the
prompt width, e the side of the image embedding; SAM's masks and mask prompts have 4e cells a side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from flmm.geometry import largest_components, masks_to_boxes
from flmm.mask_logits import MaskLogits
from flmm.models.sam import SamBackend
from flmm.registry import MODELS


@dataclass(kw_only=True, frozen=True)
class RefinedMasks:
    """The M refined masks of one image.

    Args:
        logits: on SAM's grid of 4e cells a side.
        scores: [M] float32, the IoU with the truth that SAM expects of each mask. Mostly 0 to 1; SAM does not bound
            it. Differentiable in SAM's head for it alone: what the scores learn leaves the masks as they are.
    """

    logits: MaskLogits
    scores: Tensor


@MODELS.register_module()
class SAMWrapper(nn.Module):
    """A SAM as F-LMM (CVPR 2025) uses it: image encoder frozen, prompt encoder and mask decoder trained.

    What of these two no gradient can reach, such as the embeddings of points, is frozen, too, and stays in checkpoints.

    Each mask is prompted by up to three things: its phrase's hidden states as extra sparse tokens, its coarse logits as
    SAM's mask prompt, and the box around them. The refined mask's loss reaches the phrase, the prompt encoder and the
    decoder; the mask head through the mask prompt, too, unless that is detached (a box has no gradient).

    Args:
        sam: a ``SamBackend``, or the config of one: ``dict(type='build_sam', ...)``, or another of docs/refiners.md.
        use_text: prompt with the phrase.
        use_mask: prompt with the coarse logits.
        use_box: prompt with the box.
        box_of: what the box is around: 'mask', all of the coarse mask, as F-LMM has it; or 'largest_component', for
            masks with specks, such as those of AttentionThreshold (docs/training_free.md).
        detach_mask_prompt: keep the refined mask's loss from the mask head, so that the coarse mask answers to its own
            loss alone. It gets better by that, the refined one worse (docs/coming_from_f_lmm.md).
        multimask_output: let SAM give three candidates of each mask, and take the one with the best IoU to the coarse
            mask, in the image frame; of equal ones the first. Where the coarse mask is empty, the one of which SAM
            expects the best IoU. Only the chosen one is trained.

    Raises:
        ValueError: no prompt in use, or an unknown ``box_of``.

    >>> refiner = SAMWrapper(sam=dict(type='build_sam', model_type='vit_l', checkpoint='sam_vit_l_0b3195.pth'))
    >>> embedding = refiner.encode_images([image])[0]
    >>> refiner(embedding, (480, 640), coarse_logits, text_embeds).shape
    torch.Size([2, 480, 640])
    """

    def __init__(
        self,
        *,
        sam: SamBackend | dict[str, Any],
        use_text: bool = True,
        use_mask: bool = True,
        use_box: bool = True,
        box_of: Literal['mask', 'largest_component'] = 'mask',
        detach_mask_prompt: bool = False,
        multimask_output: bool = False,
    ):
        super().__init__()
        if not (use_text or use_mask or use_box):
            raise ValueError('SAM needs a prompt: set at least one of use_text, use_mask, use_box')
        if box_of not in ('mask', 'largest_component'):
            raise ValueError(f"box_of is {box_of!r}, expected 'mask' or 'largest_component'")
        self.box_of = box_of
        self.use_text, self.use_mask, self.use_box = use_text, use_mask, use_box
        self.model: SamBackend = MODELS.build(sam) if isinstance(sam, dict) else sam
        self.detach_mask_prompt = detach_mask_prompt
        self.multimask_output = multimask_output
        self.model.image_encoder.requires_grad_(requires_grad=False)
        self.model.freeze_unreached(boxes=use_box, masks=use_mask, multimask_output=multimask_output)
        self.model.mask_decoder.iou_prediction_head.register_forward_pre_hook(_detach)
        self.train(self.training)

    @property
    def text_dim(self) -> int:
        """C, the width text embeddings must have."""
        return self.model.text_dim

    def train(self, mode: bool = True) -> 'SAMWrapper':  # noqa: FBT001, FBT002 - nn.Module's signature
        """Switch the trained parts; the frozen image encoder stays in eval mode."""
        super().train(mode)
        self.model.image_encoder.eval()
        return self

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image | np.ndarray]) -> list[dict[str, Tensor]]:
        """Run the image encoder over a batch; sizes may differ.

        Args:
            images: B PIL images, or uint8 RGB arrays [IH, IW, 3].

        Returns:
            B embeddings without gradient, each a dict of 'image' [C, e, e] and what else the SAM's decoder reads of an
            image (:attr:`flmm.models.sam.SamBackend.embedding_shapes`). One of them feeds :meth:`forward`.

        Raises:
            ValueError: no image, an array that is not uint8 [IH, IW, 3], or an image too thin for the SAM frame.
        """
        if not images:
            raise ValueError('encode_images needs at least one image')
        device = next(self.model.image_encoder.parameters()).device
        pixels = []
        for image in images:
            array = np.asarray(image.convert('RGB') if isinstance(image, Image.Image) else image)
            if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
                raise ValueError(f'images must be uint8 [IH, IW, 3], got {array.dtype} of shape {array.shape}')
            self.model.frame.content_size(array.shape[:2])  # names the image that is too thin
            pixels.append(self.model.pixels(array).to(device))
        embeddings = self.model.encode(torch.stack(pixels))
        return [dict(zip(embeddings, parts, strict=True)) for parts in zip(*embeddings.values(), strict=True)]

    def forward(
        self,
        image_embedding: dict[str, Tensor],
        image_size: Sequence[int],
        coarse_logits: Tensor,
        text_embeds: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Refine the masks of one image.

        Args:
            image_embedding: One of what :meth:`encode_images` returns.
            image_size: (IH, IW).
            coarse_logits: [M, IH, IW]; M may be 0.
            text_embeds: M tensors [T, C]; T may differ, and may be 0: box and coarse mask alone. Not read where
                ``use_text`` is off.

        Returns:
            [M, IH, IW] float32 logits, differentiable in the prompt encoder, the mask decoder and ``text_embeds``.

        Raises:
            ValueError: shapes that do not fit together.
        """
        (found,) = self.refine([image_embedding], [image_size], [coarse_logits], [text_embeds])
        return found.logits.in_image()

    def refine(
        self,
        image_embeddings: Sequence[dict[str, Tensor]],
        image_sizes: Sequence[Sequence[int]],
        coarse_logits: Sequence[Tensor],
        text_embeds: Sequence[Sequence[Tensor] | None],
    ) -> list[RefinedMasks]:
        """Refine the masks of several images together: :meth:`forward`, with a list of each argument."""
        image_sizes = [tuple(size) for size in image_sizes]
        for arguments in zip(image_embeddings, image_sizes, coarse_logits, text_embeds, strict=True):
            self._check(*arguments)
        num_masks = [len(logits) for logits in coarse_logits]
        if sum(num_masks) == 0:
            return [
                RefinedMasks(logits=MaskLogits.from_image(logits.float()), scores=logits.new_zeros(0))
                for logits in coarse_logits
            ]
        sparse, dense = self._encode_prompts(coarse_logits, image_sizes)
        low_res, iou_scores = self._decode(
            {name: torch.stack([each[name] for each in image_embeddings]) for name in image_embeddings[0]},
            torch.repeat_interleave(torch.tensor(num_masks)).to(dense.device),
            sparse,
            dense,
            [text for texts in text_embeds for text in texts]
            if self.use_text
            else [sparse.new_zeros(0, self.text_dim)] * len(sparse),
        )
        parts = zip(low_res.split(num_masks), iou_scores.split(num_masks), coarse_logits, image_sizes, strict=True)
        return [self._chosen(*part) for part in parts]

    def _encode_prompts(
        self, coarse_logits: Sequence[Tensor], image_sizes: Sequence[tuple[int, int]]
    ) -> tuple[Tensor, Tensor]:
        """Encode boxes and coarse masks of all images: [M, T, C] sparse, [M, C, e, e] dense, M over all images."""
        frame, side = self.model.frame, 4 * self.model.embedding_shapes['image'][-1]
        boxes, masks = [], []
        for logits, size in zip(coarse_logits, image_sizes, strict=True):
            boxed = largest_components(logits > 0) if self.box_of == 'largest_component' else logits > 0
            boxes.append(frame.boxes_from_image(masks_to_boxes(boxed), size))
            prompt = logits.detach() if self.detach_mask_prompt else logits
            masks.append(frame.logits_from_image(prompt, (side, side)))
        # Positions are sines of px / L times a frequency: half precision would be off by several px.
        with torch.autocast(coarse_logits[0].device.type, enabled=False):
            return self.model.prompts(
                torch.cat(boxes) if self.use_box else None,
                torch.cat(masks)[:, None] if self.use_mask else None,
                num_masks=sum(map(len, coarse_logits)),
            )

    def _decode(
        self,
        embeddings: dict[str, Tensor],
        image_of_mask: Tensor,
        sparse: Tensor,
        dense: Tensor,
        texts: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Run the decoder once for each number of text tokens: [M, K, 4e, 4e] float32 logits, [M, K] IoU scores."""
        groups: dict[int, list[int]] = {}
        for index, text in enumerate(texts):
            groups.setdefault(len(text), []).append(index)
        decoded = []
        for indices in groups.values():
            tokens = torch.cat([sparse[indices], torch.stack([texts[index] for index in indices]).to(sparse)], dim=1)
            embedding = {name: parts[image_of_mask[indices]] for name, parts in embeddings.items()}
            decoded.append(self.model.decode(embedding, tokens, dense[indices], multimask_output=self.multimask_output))
        order = torch.tensor([index for indices in groups.values() for index in indices]).argsort().to(dense.device)
        low_res, iou_scores = (torch.cat(parts).float()[order] for parts in zip(*decoded, strict=True))
        return low_res, iou_scores

    def _chosen(
        self, low_res: Tensor, iou_scores: Tensor, coarse_logits: Tensor, image_size: tuple[int, int]
    ) -> RefinedMasks:
        """Choose a candidate of each mask of one image."""
        num_masks, num_candidates = iou_scores.shape
        to_image = partial(self.model.frame.logits_to_image, image_size=image_size)
        chosen = torch.zeros(num_masks, dtype=torch.long, device=low_res.device)
        if num_candidates > 1:
            with torch.no_grad():
                candidates = to_image(low_res.flatten(0, 1)) > 0
                candidates = candidates.unflatten(0, (num_masks, num_candidates))  # [M, K, IH, IW]
                coarse = (coarse_logits > 0)[:, None]
                union = (candidates | coarse).sum(dim=(2, 3)).clamp(min=1)
                iou = (candidates & coarse).sum(dim=(2, 3)) / union
                chosen = torch.where(coarse.any(dim=3).any(dim=2), iou, iou_scores).argmax(dim=1)
        every = torch.arange(num_masks, device=chosen.device)
        return RefinedMasks(
            logits=MaskLogits(small=low_res[every, chosen], image_size=image_size, to_image=to_image),
            scores=iou_scores[every, chosen],
        )

    def _check(
        self,
        image_embedding: dict[str, Tensor],
        image_size: tuple[int, int],
        coarse_logits: Tensor,
        text_embeds: Sequence[Tensor] | None,
    ) -> None:
        shapes = {name: tuple(part.shape) for name, part in image_embedding.items()}
        if shapes != self.model.embedding_shapes:
            raise ValueError(
                f'image_embedding must be {self.model.embedding_shapes}, got {shapes}; '
                'pass one of what encode_images returns'
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


def _detach(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.detach() for tensor in inputs)
