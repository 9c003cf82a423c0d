"""The one thing that datasets and models share: a grounding sample. Nothing in it belongs to one family of LMMs.

Letters: S tokens in the sequence, V views of the image, N image tokens of a view, M masks (= phrases), (H, W) the
frame of the last view in px, (h, w) the same frame in cells of its grid, (IH, IW) the image frame in px, C channels.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from flmm.apt.layout import TokenLayout
from flmm.frozen_features import FrozenFeatures
from flmm.geometry import FrameMetaData, nonempty
from flmm.image_view import ImageView
from flmm.mask_logits import MaskLogits
from flmm.phrase_info import PhraseInfo
from flmm.reading import ImageReading
from flmm.sample_checks import check_sample

__all__ = ['FrozenFeatures', 'GroundingSample', 'ImageView', 'PhraseInfo']


@dataclass(kw_only=True)
class GroundingSample:
    """One image, its phrases, their masks, and what the model says of them.

    The first block is made by the dataset pipeline, the second by the model. How the fields must fit together is
    checked once, when a sample is made.

    Args:
        input_ids: [S] long. Chat-formatted prompt with its image tokens, then the phrases.
        mask_ids: [S] long. Which phrase a token belongs to (0..M-1); -1 is context.
        lmm_inputs: tensors that the LMM takes beside the text, under its own names, such as ``pixel_values``. May be
            None where ``features`` are known.
        views: V renderings of the image, coarse before fine. Coarse masks are predicted in the frame of the last one.
        phrases: M strings, as read from the dataset.
        masks: [M, H, W] bool, truth in the frame of the last view; None where no truth is known.
        gt_masks: [M, IH, IW] bool, truth in the image frame; None exactly where ``masks`` is. The mask of a phrase that
            means nothing in the image is empty.
        image: the image as RGB, size (IW, IH). May be None where ``features`` are known.
        image_path: where the image was read from, for messages and file names.
        phrase_infos: M times what the dataset says of a phrase. None becomes M times nothing.
        ignore_masks: [M, IH, IW] bool, pixels that no metric counts; None where there are none.
        dataset_name: which test set the sample belongs to; results are reported by it.
        sample_idx: which item of that dataset the sample comes from; one item can make several samples.
        features: what the frozen parts say of the sample, where that is known already; the model then skips them.
        reading: what they have read of image and prompt, where that is known already; they then read the phrases alone.
        prompt_length: the first so many tokens are image and prompt: they know nothing of any phrase. None takes all
            tokens before the first of a phrase.
        independent: each phrase is read behind the prompt as if the others were not there, so that neither they nor
            their order matter. Otherwise all tokens behind the prompt are one text, in which a phrase sees those before
            it.
        is_video: the views are moments of a video, in order of time, and ``image`` is its first frame. Masks are of
            frames, so there is no truth here (:class:`flmm.clip_sample.ClipSample`).

        mask_attentions: [M, C, h, w] float. Attention of each phrase's tokens to the image tokens.
        text_embeds: M tensors [tokens_i, sam_dim]. Hidden states of each phrase's tokens, projected for SAM.
        coarse: logits of the M coarse masks, on the mask head's grid.
        refined: logits of the M refined masks, on SAM's grid.
        sam_scores: [M] float. The IoU that SAM expects of each refined mask; in tracked frames, that of the best mask
            from which the phrase was tracked, 0 without one.
        existence: [M] float, 0 to 1. How sure the model is that the phrase means something in the image; None where the
            model does not judge that.
        exists: [M] bool. Its verdict; None exactly where ``existence`` is.
        tracked: whether a tracker has made ``refined``, ``existence`` and ``exists`` of a frame
            (:class:`flmm.models.sam.ClipTracker`). Coarse masks then have a verdict of their own.
        coarse_exists: [M] bool. The model's verdict on the coarse masks of a tracked frame; None where it judges none.

    Raises:
        ValueError: fields that do not fit together; the message names the image, what was found and what was expected.
    """

    input_ids: Tensor
    mask_ids: Tensor
    lmm_inputs: dict[str, Tensor] | None
    views: list[ImageView]
    phrases: list[str]
    masks: Tensor | None
    gt_masks: Tensor | None
    image: Image.Image | None
    image_path: str
    phrase_infos: list[PhraseInfo] | None = None
    ignore_masks: Tensor | None = None
    dataset_name: str = 'dataset'
    sample_idx: int = 0
    features: FrozenFeatures | None = None
    reading: ImageReading | None = None
    prompt_length: int | None = None
    independent: bool = False
    is_video: bool = False

    mask_attentions: Tensor | None = None
    text_embeds: list[Tensor] | None = None
    coarse: MaskLogits | None = None
    refined: MaskLogits | None = None
    sam_scores: Tensor | None = None
    existence: Tensor | None = None
    exists: Tensor | None = None
    tracked: bool = False
    coarse_exists: Tensor | None = None

    def __post_init__(self) -> None:
        if self.phrase_infos is None:
            self.phrase_infos = [PhraseInfo()] * len(self.phrases)
        if self.prompt_length is None:
            self.prompt_length = int((self.mask_ids < 0).int().cumprod(0).sum())
        check_sample(self)

    @property
    def num_masks(self) -> int:
        """M, the number of phrases and of masks."""
        return len(self.phrases)

    @property
    def tokens_per_mask(self) -> list[int]:
        """How many tokens each phrase has: M numbers."""
        return torch.bincount(self.mask_ids[self.mask_ids >= 0], minlength=self.num_masks).tolist()

    @property
    def texts(self) -> list[Tensor]:
        """The texts behind the prompt, each read by itself: positions of their tokens in the sequence, long.

        One for each phrase where they are independent, else one.
        """
        if not self.independent:
            return [torch.arange(self.prompt_length, len(self.input_ids), device=self.input_ids.device)]
        return [(self.mask_ids == phrase).nonzero().squeeze(1) for phrase in range(self.num_masks)]

    @property
    def meta_data(self) -> FrameMetaData:
        """The frame of the last view, in which coarse masks are predicted."""
        return self.views[-1].meta_data

    @property
    def layout(self) -> TokenLayout:
        """Where the tokens of the last view lie on its grid."""
        return self.views[-1].layout

    @property
    def grid_size(self) -> tuple[int, int]:
        """(h, w), the grid of the last view, on which attention is given to the mask head."""
        return self.layout.grid_size

    @property
    def image_size(self) -> tuple[int, int]:
        """(IH, IW)."""
        original = self.meta_data['original_shape']
        return original['height'], original['width']

    @property
    def has_target(self) -> Tensor:
        """[M] bool, whether each phrase means something in the image.

        Raises:
            ValueError: no truth is known.
        """
        if self.gt_masks is None:
            raise ValueError(
                f'image {self.image_path!r} has no truth masks, so nothing says which phrases have a target'
            )
        return nonempty(self.gt_masks)

    @property
    def pred_masks(self) -> Tensor | None:
        """[M, IH, IW] float, coarse logits in the image frame; None before the model has made them."""
        return None if self.coarse is None else self.coarse.in_image()

    @property
    def sam_pred_masks(self) -> Tensor | None:
        """[M, IH, IW] float, refined logits in the image frame; None before the model has made them."""
        return None if self.refined is None else self.refined.in_image()

    @property
    def coarse_masks(self) -> Tensor:
        """[M, IH, IW] bool, the coarse masks: logits above 0, and none of a phrase that is judged to be absent."""
        return self.coarse.masks(self.verdict('coarse'))

    @property
    def refined_masks(self) -> Tensor:
        """[M, IH, IW] bool, the refined masks: logits above 0, and none of a phrase that is judged to be absent."""
        return self.refined.masks(self.verdict('refined'))

    def verdict(self, source: str) -> Tensor | None:
        """Say which phrases are there, [M] bool; None where nothing judges that, and masks alone say so.

        Args:
            source: 'coarse' or 'refined', whose masks are asked for; in a frame that was tracked they may differ.
        """
        return self.coarse_exists if self.tracked and source == 'coarse' else self.exists

    def mask_chunks(self, source: str) -> Iterator[tuple[slice, Tensor]]:
        """Yield the predicted masks a few at a time, so that those of a large image need not all be in memory.

        Args:
            source: 'coarse' or 'refined'.

        Yields:
            Which phrases, and their masks, [m, IH, IW] bool, as in :attr:`coarse_masks` and :attr:`refined_masks`.
        """
        logits: MaskLogits = getattr(self, source)
        return logits.mask_chunks(self.verdict(source))

    def with_outputs(self, **outputs: Any) -> 'GroundingSample':
        """Return a copy with fields of the model filled in; the others were checked when the sample was made."""
        made = copy.copy(self)
        for name, value in outputs.items():
            setattr(made, name, value)
        return made

    def to(self, device: torch.device | str) -> 'GroundingSample':
        """Return a copy whose tensors lie on ``device``, those in lists, dicts and views included.

        Where the image was read before, ``lmm_inputs`` stay where they are: nothing reads the pixels again.
        """
        if self.reading is None:
            return _moved(self, device)
        return _moved(self.with_outputs(lmm_inputs=None), device).with_outputs(lmm_inputs=self.lmm_inputs)


def _moved(value: Any, device: torch.device | str) -> Any:
    """Move tensors, and those in lists, dicts and dataclasses; anything else stays."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if isinstance(value, TokenLayout):  # its cached properties lie where its tokens do
        return replace(value, tokens=value.tokens.to(device))
    if isinstance(value, MaskLogits):  # its way to the image lies wherever its logits do
        return replace(value, small=value.small.to(device))
    if not is_dataclass(value) or isinstance(value, (PhraseInfo, ImageReading)):  # a reading lies where its model does
        return value
    moved = copy.copy(value)
    for field in fields(value):
        setattr(moved, field.name, _moved(getattr(value, field.name), device))
    return moved
