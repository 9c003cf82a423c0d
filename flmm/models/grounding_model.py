"""F-LMM: a frozen LMM, a mask head on its attention maps, SAM to refine ("Grounding Frozen LMMs", CVPR 2025).

Letters: M masks (= phrases) of a sample, C attention maps of each, (h, w) their grid, (IH, IW) the image in px.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flmm.clip_sample import ClipSample
from flmm.mask_logits import MaskLogits
from flmm.models.checkpoints import load_trained
from flmm.models.finite import check_predictions
from flmm.models.frozen_parts import FROZEN, Embed, FrozenParts, no_embeddings
from flmm.models.losses import check_truth, empty_loss, existence_loss, mask_losses
from flmm.models.phrase_decoder import PhraseDecoder
from flmm.models.sam.clip_tracker import build_tracker
from flmm.models.trainable_state import keep_trainable_state
from flmm.registry import MODELS
from flmm.structures import FrozenFeatures, GroundingSample

COMPILED = ('mask_head', 'sam.model.image_encoder', 'sam.model.mask_decoder')
"""Modules that may be compiled."""


class GroundingModel(FrozenParts):
    """From what the frozen parts say of an image and its phrases to masks and losses; what of F-LMM is trained.

    Nothing here knows how the LMM is read: a subclass says that. Frozen are ``lmm``, SAM's image encoder and
    ``tracker`` (:class:`flmm.models.frozen_parts.FrozenParts`). Trained are ``mask_head``, ``text_proj`` and
    ``text_layer_weights`` (None where SAM reads no text), ``existence_head`` if there is one, and what ``sam`` leaves
    trainable, and only those are in the state dict. A mask head without parameters makes a model in which nothing is
    trained, SAM neither (:attr:`is_trained`), and the state dict is empty.

    Args:
        lmm: the LMM.
        num_channels: C, how many attention maps the mask head reads.
        hidden_size: The width of the LMM's hidden states.
        depth: The number of layers whose hidden states are read.
        mask_head: config of the mask head, without ``in_channels``, which is ``num_channels``.
        sam: the SAMWrapper, or its config.
        loss_mask: config of the per-pixel loss, of coarse and of refined masks.
        loss_dice: config of the region loss, of coarse and of refined masks.
        loss_iou: config of the loss of SAM's scores, by which they learn the IoU of the refined masks (squared error in
            SAM's paper, appendix A). It trains SAM's head for them alone, and masks stay as they are. None, as F-LMM
            has it, leaves the scores as the SAM says them, of masks that its decoder no longer makes.
        padding_cut: where the padding that the LMM reads around the image is cut off the coarse logits: 'exact', at the
            border of the image; 'whole_cells', as F-LMM does (:func:`flmm.geometry.whole_cells`), for mask heads that
            its code trained.
        decode_budget: where no gradient is needed, phrases are decoded a few at a time: as many as have so many numbers
            together, attention maps and the mask in the image frame, at least one. A float32 tensor of them takes four
            bytes times that, and a handful of such tensors are in memory.
        compiled: options of ``torch.compile`` for those of :data:`COMPILED` that are to be compiled, such as
            ``{'mask_head': {'dynamic': True}}``. None by default.
        existence: config of the head that judges whether a phrase is in the image at all, such as
            ``dict(type='ExistenceHead')``. None judges nothing: every phrase is taken to be there.
        trained_masks: checkpoint of the same model without ``existence``. What makes masks comes from there and stays,
            and the existence head alone is trained: no mask is made in training. Checkpoints hold both, so they are
            loaded without it. None trains all together.
        tracker: config of the :class:`flmm.models.sam.ClipTracker`, such as
            ``dict(name_or_path='facebook/sam2.1-hiera-large')``, or what does the same. It is for 'predict' of clips
            alone: the best masks of a phrase are carried through all frames. Heads do not depend on it, so any
            checkpoint goes with it and without. None leaves each frame the masks that were found in it.
        data_preprocessor: defaults to GroundingDataPreprocessor.

    Attributes:
        trains_masks: whether training is of masks, not of the existence head alone.

    Raises:
        ValueError: an unknown ``padding_cut``, a ``decode_budget`` below 1, or ``compiled`` names another module; SAM
            reads text, or ``existence`` is given, where nothing is trained; ``trained_masks`` without ``existence``, or
            of a file that is absent, has other keys or was trained over other frozen parts; a ``tracker`` that is
            no config of one, or cannot be loaded.
    """

    def __init__(
        self,
        *,
        lmm: nn.Module,
        num_channels: int,
        hidden_size: int,
        depth: int,
        mask_head: dict,
        sam: nn.Module | dict,
        loss_mask: dict,
        loss_dice: dict,
        loss_iou: dict | None = None,
        padding_cut: str = 'exact',
        decode_budget: int = 2**26,
        compiled: dict[str, dict[str, Any]] | None = None,
        existence: dict | None = None,
        trained_masks: str | None = None,
        tracker: nn.Module | dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        if padding_cut not in ('exact', 'whole_cells'):
            raise ValueError(f"padding_cut is {padding_cut!r}, expected 'exact' or 'whole_cells'")
        if decode_budget < 1:
            raise ValueError(f'decode_budget is {decode_budget}, expected 1 or more')
        super().__init__(data_preprocessor=data_preprocessor or {'type': 'flmm.GroundingDataPreprocessor'})
        self.lmm = lmm.requires_grad_(requires_grad=False)
        self.mask_head = MODELS.build({**mask_head, 'in_channels': num_channels})
        self.sam = MODELS.build(sam) if isinstance(sam, dict) else sam
        self.text_proj = nn.Linear(hidden_size, self.sam.text_dim) if self.sam.use_text else None
        self.text_layer_weights = nn.Parameter(torch.zeros(depth)) if self.sam.use_text else None
        self.loss_mask = MODELS.build(loss_mask)
        self.loss_dice = MODELS.build(loss_dice)
        self.loss_iou = MODELS.build(loss_iou) if loss_iou is not None else None
        self.padding_cut, self.decode_budget = padding_cut, decode_budget
        self._compile(compiled or {})
        if not self.is_trained:
            if existence is not None:
                raise ValueError(
                    f'mask_head {mask_head["type"]!r} has no parameters, so nothing is trained, and existence would be '
                    'judged at random; leave existence out'
                )
            if self.sam.use_text:
                raise ValueError(
                    f'mask_head {mask_head["type"]!r} has no parameters, so nothing is trained, and SAM would read '
                    'random projections of the text; set use_text=False in sam'
                )
            self.sam.requires_grad_(requires_grad=False)
        elif self.loss_iou is None:  # nothing else depends on SAM's scores, so their head would get no gradient
            self.sam.model.mask_decoder.iou_prediction_head.requires_grad_(requires_grad=False)
        keep_trainable_state(self, frozen=FROZEN if self.is_trained else (*FROZEN, 'sam'))
        self.trains_masks = trained_masks is None
        if trained_masks is not None:
            if existence is None:
                raise ValueError(
                    f'trained_masks is {trained_masks!r}, but there is no existence head to train; add one'
                )
            try:
                load_trained(self, trained_masks)  # which has no existence head: so it is built behind this
            except ValueError as error:
                raise ValueError(
                    f'trained_masks is {trained_masks!r}, expected a checkpoint of this model without existence: '
                    f'{error}'
                ) from error
            self.requires_grad_(requires_grad=False)
        self.existence_head: nn.Module | None = None
        if existence is not None:
            sizes = {'in_channels': num_channels, 'hidden_size': hidden_size, 'depth': depth}
            self.existence_head = MODELS.build({**existence, **sizes})
        self.tracker = build_tracker(tracker)
        if self.tracker is not None:
            self.tracker.requires_grad_(requires_grad=False)
        self.train()

    @property
    def is_trained(self) -> bool:
        """Whether the model has a trained part: whether its mask head has parameters."""
        return any(True for _ in self.mask_head.parameters())

    def _compile(self, options: dict[str, dict[str, Any]]) -> None:
        for name, setting in options.items():
            if name not in COMPILED:
                raise ValueError(f'compiled names {name!r}, expected some of {COMPILED}')
            self.get_submodule(name).compile(**setting)  # in place: names in checkpoints stay

    def forward(
        self, data_samples: Sequence[GroundingSample | ClipSample], mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[GroundingSample | ClipSample]:
        """Ground the phrases of a batch.

        Args:
            data_samples: the samples, of images or of clips, whose masks are those of their frames (``grounded``). A
                loss may be of none, where all of a batch were left out.
            mode: 'loss' returns the losses of coarse and refined masks, with ``loss_iou`` that of SAM's scores, and
                with an existence head 'loss_existence', which is the only one with ``trained_masks``; 'tensor' returns
                the samples with every field of the model filled in (``mask_attentions``, ``text_embeds``, ``coarse``,
                ``refined``, ``sam_scores``; with an existence head ``existence`` and ``exists``); 'predict' returns the
                same without gradient. Frames of clips are predicted a few at a time, and keep their masks alone, which
                ``tracker`` then carries through all of them; 'tensor' leaves them as they were found.

        Raises:
            NonFiniteError: a prediction, or what it was made from, is not finite; 'loss' leaves that to training
                (:class:`flmm.engine.FiniteCheckHook`).
            ValueError: another mode, or a loss of a sample without truth, of a phrase without a target in an image
                where no existence head learns from it, or of a model in which nothing is trained. A frame of a clip
                that does not show what a phrase means takes no part in the losses of masks.
        """
        if mode not in ('loss', 'predict', 'tensor'):
            raise ValueError(f"mode is {mode!r}, expected 'loss', 'predict' or 'tensor'")
        if mode == 'loss':
            return self._loss(data_samples)
        if any(isinstance(sample, ClipSample) for sample in data_samples):
            return [
                self._grounded_clip(each, mode) if isinstance(each, ClipSample) else self._grounded([each], mode)[0]
                for each in data_samples
            ]
        return self._grounded(data_samples, mode)

    def _grounded(self, data_samples: Sequence[GroundingSample], mode: str) -> list[GroundingSample]:
        with torch.set_grad_enabled(mode != 'predict' and torch.is_grad_enabled()):
            features = self.encode(data_samples)
            grounded = self._ground(data_samples, features)
            existence_logits = self._existence_logits(data_samples, features)
        if self.existence_head is not None:
            existence = [logits.sigmoid() for logits in existence_logits]
            grounded = [
                sample.with_outputs(existence=each, exists=each >= self.existence_head.threshold)
                for sample, each in zip(grounded, existence, strict=True)
            ]
        check_predictions(grounded, features)
        return grounded

    def _loss(self, data_samples: Sequence[GroundingSample | ClipSample]) -> dict[str, Tensor]:
        if not self.is_trained:
            raise ValueError(
                f'there is nothing to train: {type(self.mask_head).__name__} has no parameters; '
                'test the model with tools/test.py, without a checkpoint'
            )
        if not data_samples:
            num_averages = self.trains_masks + (self.existence_head is not None)
            return empty_loss(self.parameters(), num_averages=num_averages)
        images = [sample for sample in data_samples if isinstance(sample, GroundingSample)]
        clips = [sample for sample in data_samples if isinstance(sample, ClipSample)]
        check_truth(images, existence=self.existence_head is not None)
        check_truth(clips, existence=True)  # what a phrase means comes and goes in a video
        embed = None if self.trains_masks else no_embeddings
        frames = (frame for clip in clips for part in self.encode_frames(clip, embed=embed) for frame in part)
        samples = [*images, *frames]
        if not self.trains_masks:
            logits = self._existence_logits(samples, self.encode(samples, for_masks=False))
            return {'loss_existence': existence_loss(samples, logits)}
        features = self.encode(samples)
        losses = self._losses(self._ground(samples, features))
        if self.existence_head is not None:
            losses['loss_existence'] = existence_loss(samples, self._existence_logits(samples, features))
        return losses

    def _grounded_clip(self, clip: ClipSample, mode: str) -> ClipSample:
        if mode == 'predict':
            frames = list(self.predict_frames(clip))
            return clip.with_outputs(grounded=frames if self.tracker is None else self.tracker(clip.frames, frames))
        frames = [frame for part in self.encode_frames(clip) for frame in self._grounded(part, mode)]
        return clip.with_outputs(grounded=frames)

    def predict_frames(self, clip: ClipSample, *, embed: Embed | None = None) -> Iterator[GroundingSample]:
        """Yield the frames of a clip with their masks, and without what these were made of, which grows with the video.

        The masks are those found in the frame: nothing is tracked.

        Args:
            clip: the clip.
            embed: as :meth:`FrozenParts.encode_frames` has it.
        """
        for part in self.encode_frames(clip, embed=embed):
            for frame in self._grounded(part, 'predict'):
                yield frame.with_outputs(features=None, mask_attentions=None, text_embeds=None, masks=None)

    def _ground(self, samples: list[GroundingSample], features: list[FrozenFeatures]) -> list[GroundingSample]:
        """Return the samples with what the model says of masks filled in."""
        text_embeds = [
            self._text_embeds(sample, read.hidden_states) for sample, read in zip(samples, features, strict=True)
        ]
        # With gradients all is kept for the backward pass anyway.
        budget = None if torch.is_grad_enabled() else self.decode_budget
        decoded = self.decoder.decode(samples, features, text_embeds, budget=budget)
        return [
            sample.with_outputs(
                mask_attentions=read.attentions,
                text_embeds=embeds,
                coarse=masks.coarse,
                refined=masks.refined,
                sam_scores=masks.scores,
            )
            for sample, read, embeds, masks in zip(samples, features, text_embeds, decoded, strict=True)
        ]

    @property
    def decoder(self) -> PhraseDecoder:
        """The way from attention maps to masks."""
        return PhraseDecoder(mask_head=self.mask_head, sam=self.sam, padding_cut=self.padding_cut)

    @torch.no_grad()
    def coarse(self, samples: list[GroundingSample]) -> list[MaskLogits]:
        """Return the coarse masks of the phrases of each sample, M_i of them. Neither part of SAM runs."""
        features = self.encode(samples, for_masks=False)
        return self.decoder.coarse(samples, [read.attentions for read in features])

    def _text_embeds(self, sample: GroundingSample, hidden_states: Tensor) -> list[Tensor] | None:
        """Average the layers with learned weights, project to SAM's prompt space: one [tokens_i, sam_dim] a phrase.

        None where SAM reads no text.
        """
        if not self.sam.use_text:
            return None
        weights = self.text_layer_weights.softmax(dim=0)
        mixed = torch.einsum('l,lrh->rh', weights, hidden_states.to(weights.dtype))
        return list(self.text_proj(mixed).split(sample.tokens_per_mask))

    def _existence_logits(self, samples: list[GroundingSample], features: list[FrozenFeatures]) -> list[Tensor]:
        """Return the logits of existence of each sample, [M_i] float32; an empty list without an existence head."""
        if self.existence_head is None:
            return []
        return [
            self.existence_head(read.attentions, read.hidden_states, sample.tokens_per_mask).float()
            for sample, read in zip(samples, features, strict=True)
        ]

    @torch.no_grad()
    def judge(self, samples: Sequence[GroundingSample | ClipSample]) -> list[Tensor]:
        """Return the existence of the phrases of each sample, [M_i] float32 in 0..1, without making masks.

        Of a clip it is that of the phrases in each frame, [F * M_i], frame after frame.

        Raises:
            ValueError: the model has no existence head.
        """
        if self.existence_head is None:
            raise ValueError("the model judges no existence; build it with existence=dict(type='ExistenceHead')")
        if any(isinstance(sample, ClipSample) for sample in samples):
            return [
                self._judge_clip(each) if isinstance(each, ClipSample) else self.judge([each])[0] for each in samples
            ]
        logits = self._existence_logits(samples, self.encode(samples, for_masks=False))
        return [each.sigmoid() for each in logits]

    def _judge_clip(self, clip: ClipSample) -> Tensor:
        frames = self.encode_frames(clip, embed=no_embeddings)
        return torch.cat([existence for part in frames for existence in self.judge(part)])

    def _losses(self, grounded: list[GroundingSample]) -> dict[str, Tensor]:
        return mask_losses(
            grounded,
            loss_mask=self.loss_mask,
            loss_dice=self.loss_dice,
            loss_iou=self.loss_iou,
            padding_cut=self.padding_cut,
        )
