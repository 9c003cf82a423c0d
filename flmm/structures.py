"""The one thing that datasets and models share: a grounding sample.

Letters: S tokens in the sequence, P patches of 14x14 px, M masks (= phrases), (H, W) the processed frame in px (a
multiple of 28), (h, w) the same frame in units of 28 px, (IH, IW) the image frame in px, C = layers * heads.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor


@dataclass(kw_only=True)
class GroundingSample:
    """One image, its phrases, their masks, and what the model says of them.

    The first block is made by the dataset pipeline, the second by the model. :meth:`validate` states how the fields
    must fit together; the pipeline calls it on every sample.

    Args:
        input_ids: [S] long. Chat-formatted prompt with its image tokens, then the phrases.
        mask_ids: [S] long. Which phrase a token belongs to (0..M-1); -1 is context.
        pixel_values: [P, 1176] float. Flattened patches: 3 channels x 2 frames x 14 x 14, normalized.
        image_grid_thw: [1, 3] long. Frames, rows and columns of the patch grid; H = 14 * rows.
        image_token_id: the id that stands for one image token in ``input_ids``.
        phrases: M strings, as read from the dataset.
        masks: [M, H, W] bool, truth in the processed frame.
        gt_masks: [M, IH, IW] bool, truth in the image frame.
        image: the image as RGB, size (IW, IH).
        meta_data: frame sizes, see :class:`flmm.geometry.FrameMetaData`.
        image_path: where the image was read from, for messages and file names.
        phrase_kinds: M strings or None. What kind of expression each phrase is, where the dataset says so.

        mask_attentions: [M, C, h, w] float. Attention of each phrase's tokens to the image tokens.
        text_embeds: M tensors [tokens_i, sam_dim]. Hidden states of each phrase's tokens, projected for SAM.
        pred_masks: [M, IH, IW] float. Coarse logits in the image frame.
        sam_pred_masks: [M, IH, IW] float. Refined logits in the image frame.
    """

    input_ids: Tensor
    mask_ids: Tensor
    pixel_values: Tensor
    image_grid_thw: Tensor
    image_token_id: int
    phrases: list[str]
    masks: Tensor
    gt_masks: Tensor
    image: Image.Image
    meta_data: dict[str, Any]
    image_path: str
    phrase_kinds: list[str] | None = None

    mask_attentions: Tensor | None = None
    text_embeds: list[Tensor] | None = None
    pred_masks: Tensor | None = None
    sam_pred_masks: Tensor | None = None

    @property
    def num_masks(self) -> int:
        """M, the number of phrases and of masks."""
        return len(self.phrases)

    def to(self, device: torch.device | str) -> 'GroundingSample':
        """Return a copy whose tensors (and lists of tensors) lie on ``device``."""

        def move(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.to(device, non_blocking=True)
            if isinstance(value, list) and value and isinstance(value[0], Tensor):
                return [tensor.to(device, non_blocking=True) for tensor in value]
            return value

        return replace(self, **{field.name: move(getattr(self, field.name)) for field in fields(self)})
