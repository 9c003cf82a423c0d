"""The one thing that datasets and models share: a grounding sample.

Letters: S tokens in the sequence, P patches of 14x14 px, M masks (= phrases), (H, W) the processed frame in px (a
multiple of 28), (h, w) the same frame in units of 28 px, N the image tokens (h * w; fewer with adaptive patches),
(IH, IW) the image frame in px, C attention heads.
"""

import copy
from dataclasses import dataclass, fields
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from flmm.apt.layout import TokenLayout

MERGE_SIZE = 2
"""2x2 patches become one LLM image token in every Qwen2-VL and Qwen2.5-VL."""
UNIT_PIXELS = 28
"""Side of the square that one dense image token covers: 2 patches of 14 px."""


@dataclass(kw_only=True)
class FrozenFeatures:
    """What the frozen parts say of one sample: all that the trained ones read of its image and text.

    Args:
        attentions: [M, C, h, w] float32, attention of each phrase to the image, by layer, then by head.
        hidden_states: [layers, R, hidden], of the R phrase tokens, phrase by phrase.
        image_embedding: what SAM's image encoder makes of the image: 'image' [sam_dim, e, e], and what else SAM's
            decoder reads of it, by name (:attr:`flmm.models.sam.SamBackend.embedding_shapes`).
        made_by: which frozen parts made them, as ``FrozenLMM.frozen_parts`` says it; None where a model's own did.
    """

    attentions: Tensor
    hidden_states: Tensor
    image_embedding: dict[str, Tensor]
    made_by: dict[str, str | None] | None = None


@dataclass(kw_only=True)
class GroundingSample:
    """One image, its phrases, their masks, and what the model says of them.

    The first block is made by the dataset pipeline, the second by the model. How the fields must
    fit together is checked when a sample is made.

    Args:
        input_ids: [S] long. Chat-formatted prompt with its image tokens, then the phrases.
        mask_ids: [S] long. Which phrase a token belongs to (0..M-1); -1 is context.
        pixel_values: [P, 1176] float, P = 4 * N. Flattened patches: 3 channels x 2 frames x 14 x 14, normalized. May be
            None where ``features`` are known.
        image_grid_thw: [1, 3] long. Frames, rows and columns of the dense patch grid; H = 14 * rows.
        image_token_id: the id that stands for one image token in ``input_ids``.
        phrases: M strings, as read from the dataset.
        masks: [M, H, W] bool, truth in the processed frame; None where no truth is known.
        gt_masks: [M, IH, IW] bool, truth in the image frame; None exactly where ``masks`` is.
        image: the image as RGB, size (IW, IH). May be None where ``features`` are known.
        meta_data: frame sizes, see :class:`flmm.geometry.FrameMetaData`.
        image_path: where the image was read from, for messages and file names.
        image_layout: [N, 3] long. Top, left and size in units of the square that each image token covers, see
            :class:`flmm.apt.TokenLayout`. None makes it dense: one token for each unit.
        phrase_kinds: M strings or None. What kind of expression each phrase is, where the dataset says so.
        dataset_name: which test set the sample belongs to; results are reported by it.
        sample_idx: which item of that dataset the sample comes from; one item can make several samples.
        features: what the frozen parts say of the sample, where that is known already; the model then skips them.

        mask_attentions: [M, C, h, w] float. Attention of each phrase's tokens to the image tokens.
        text_embeds: M tensors [tokens_i, sam_dim]. Hidden states of each phrase's tokens, projected for SAM.
        pred_masks: [M, IH, IW] float. Coarse logits in the image frame.
        sam_pred_masks: [M, IH, IW] float. Refined logits in the image frame.
    """

    input_ids: Tensor
    mask_ids: Tensor
    pixel_values: Tensor | None
    image_grid_thw: Tensor
    image_token_id: int
    phrases: list[str]
    masks: Tensor | None
    gt_masks: Tensor | None
    image: Image.Image | None
    meta_data: dict[str, Any]
    image_path: str
    image_layout: Tensor | None = None
    phrase_kinds: list[str] | None = None
    dataset_name: str = 'dataset'
    sample_idx: int = 0
    features: FrozenFeatures | None = None

    mask_attentions: Tensor | None = None
    text_embeds: list[Tensor] | None = None
    pred_masks: Tensor | None = None
    sam_pred_masks: Tensor | None = None

    def __post_init__(self) -> None:
        if self.image_layout is None and tuple(self.image_grid_thw.shape) == (1, 3):
            self.image_layout = TokenLayout.dense(self.grid_size, device=self.image_grid_thw.device).tokens
        self.validate()

    @property
    def num_masks(self) -> int:
        """M, the number of phrases and of masks."""
        return len(self.phrases)

    @property
    def tokens_per_mask(self) -> list[int]:
        """How many tokens each phrase has: M numbers."""
        return torch.bincount(self.mask_ids[self.mask_ids >= 0], minlength=self.num_masks).tolist()

    @property
    def grid_size(self) -> tuple[int, int]:
        """(h, w), the dense grid in units: one unit is 2x2 patches, one dense image token."""
        _, rows, columns = self.image_grid_thw[0].tolist()
        return rows // MERGE_SIZE, columns // MERGE_SIZE

    @property
    def image_size(self) -> tuple[int, int]:
        """(IH, IW)."""
        original = self.meta_data['original_shape']
        return original['height'], original['width']

    @property
    def layout(self) -> TokenLayout:
        """Where the image tokens lie on the dense grid."""
        return TokenLayout(tokens=self.image_layout, grid_size=self.grid_size)

    def validate(self) -> None:
        """Check that the fields fit together.

        Raises:
            ValueError: they do not; the message names the image, what was found and what was expected.
        """
        if not self.phrases:
            raise ValueError(f'image {self.image_path!r} has no phrase; leave it out of the dataset')
        if tuple(self.image_grid_thw.shape) != (1, 3):
            found = tuple(self.image_grid_thw.shape)
            raise ValueError(
                f'image {self.image_path!r}: image_grid_thw has shape {found}, expected (1, 3) (one image)'
            )
        try:
            self.layout.check()
        except ValueError as error:
            raise ValueError(f'image {self.image_path!r}: {error}') from error
        h, w = self.grid_size
        num_tokens = len(self.image_layout)
        frame = (h * UNIT_PIXELS, w * UNIT_PIXELS)
        mask_ids = self.mask_ids[self.mask_ids != -1].unique().tolist()
        num_masks, num_image_tokens = self.num_masks, int((self.input_ids == self.image_token_id).sum())
        kinds = self.phrases if self.phrase_kinds is None else self.phrase_kinds
        if self.features is None and (self.image is None or self.pixel_values is None):
            raise ValueError(
                f'image {self.image_path!r}: image and pixel_values may be absent only where features are known'
            )
        image_size = self.image_size if self.image is None else (self.image.height, self.image.width)
        num_rows = num_tokens * MERGE_SIZE**2
        found_rows = num_rows if self.pixel_values is None else len(self.pixel_values)
        if (self.masks is None) != (self.gt_masks is None):
            given, absent = ('gt_masks', 'masks') if self.masks is None else ('masks', 'gt_masks')
            raise ValueError(
                f'image {self.image_path!r} has {given} but {absent} is None; give both, or None for both where no '
                'truth is known'
            )
        facts = [
            ('mask_ids has shape', tuple(self.mask_ids.shape), tuple(self.input_ids.shape), 'one id for each token'),
            ('its phrases have mask ids', mask_ids, list(range(num_masks)), 'each phrase needs tokens of its own'),
            ('its image tokens number', num_image_tokens, num_tokens, f'its layout of a grid of {h}x{w} units'),
            ('pixel_values has rows', found_rows, num_rows, 'the patches of its layout'),
            ('image has size', image_size, self.image_size, 'the original shape of its meta_data'),
            ('phrase_kinds number', len(kinds), num_masks, 'one for each phrase, or None'),
        ]
        if self.masks is not None and self.gt_masks is not None:
            facts += [
                ('masks has shape', tuple(self.masks.shape), (num_masks, *frame), 'a mask each, processed frame'),
                (
                    'gt_masks has shape',
                    tuple(self.gt_masks.shape),
                    (num_masks, *image_size),
                    'a mask each, image frame',
                ),
            ]
        for name, found, expected, why in facts:
            if found != expected:
                raise ValueError(f'image {self.image_path!r}: {name} {found}, expected {expected} ({why})')

    def to(self, device: torch.device | str) -> 'GroundingSample':
        """Return a copy whose tensors (and lists of tensors) lie on ``device``."""
        return _moved(self, device)


def _moved(value: Any, device: torch.device | str) -> Any:
    """Move tensors, lists and dicts of tensors, and dataclasses of them; anything else stays."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list) and value and isinstance(value[0], Tensor):
        return [tensor.to(device) for tensor in value]
    if isinstance(value, dict):
        return {name: _moved(inner, device) for name, inner in value.items()}
    if not isinstance(value, (GroundingSample, FrozenFeatures)):
        return value
    moved = copy.copy(value)
    for field in fields(value):
        setattr(moved, field.name, _moved(getattr(value, field.name), device))
    return moved
