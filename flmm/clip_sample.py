"""A video on its way through the model: what the LMM reads of it, and the frames that are to get masks.

Letters: F frames, M masks (= phrases) of a frame, V views of a sequence, (IH, IW) a frame in px, C channels, (h, w) the
grid of a view.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from flmm.frozen_features import FrozenFeatures
from flmm.geometry import image_to_processed, nonempty
from flmm.image_view import ImageView
from flmm.phrase_info import PhraseInfo
from flmm.structures import GroundingSample

VOID = 255
"""The index of pixels that are of no object and count nowhere, in the palettes of datasets that have such."""


@dataclass(kw_only=True)
class ClipSample:
    """Frames of one video, and what the LMM reads of them: how it reads them is no matter of who makes masks of them.

    As video tokens, one sequence shows all moments, a view for each pair of frames that the LMM merges. As single
    images, each frame has a sequence of its own.

    Args:
        sequences: what the LMM reads, all with the same phrases and without truth.
        frames: F RGB images of one size.
        shown_in: for each frame the number of the sequence that shows it, and of the view in it. Where the sequence is
            one of a single image, all of its views show the frame, and the second number is 0.
        frame_names: F names, for messages and files of masks.
        video_path: where the video was read from, for messages and file names.
        gt_masks: [F, M, IH, IW] bool, truth; empty where a frame does not show what a phrase means. None where no truth
            is known.
        gt_objects: [F, IH, IW] uint8, which object each pixel shows by its index in the palette, whether an expression
            means it or not: 0 is the background, :data:`VOID` is ignored. None where the dataset does not say
            (:class:`flmm.datasets.RefVideoDataset` with ``has_void``).
        dataset_name: which test set the clip belongs to; results are reported by it.
        sample_idx: which item of that dataset it is.

        grounded: F samples with masks; None before the model has made them.

    Raises:
        ValueError: fields that do not fit together; names the video, what was found and what was expected.
    """

    sequences: list[GroundingSample]
    frames: list[Image.Image]
    shown_in: list[tuple[int, int]]
    frame_names: list[str]
    video_path: str
    gt_masks: Tensor | None = None
    gt_objects: Tensor | None = None
    dataset_name: str = 'dataset'
    sample_idx: int = 0

    grounded: list[GroundingSample] | None = None

    def __post_init__(self) -> None:
        if not self.frames or not self.sequences:
            raise ValueError(f'video {self.video_path!r} has no frame, or nothing that the LMM reads; give both')
        sizes = sorted({frame.size for frame in self.frames})
        if len(sizes) > 1:
            raise ValueError(
                f'video {self.video_path!r} has frames of {" and ".join(f"{w} x {h}" for w, h in sizes[:2])} px, '
                'expected one size; resize them, or leave the others out'
            )
        width, height = sizes[0]
        truth = self.gt_masks
        num_frames, places = len(self.frames), self._places()
        facts = [
            ('names of frames', len(self.frame_names), num_frames),
            ('places of frames', len(self.shown_in), num_frames),
            ('phrases in its sequences', {tuple(each.phrases) for each in self.sequences}, {tuple(self.phrases)}),
            ('places that no view has', [at for at in self.shown_in if at not in places], []),
        ]
        if truth is not None:
            facts.append(('truth of shape', tuple(truth.shape), (num_frames, self.num_masks, height, width)))
            facts.append(('truth of dtype', truth.dtype, torch.bool))
        if self.gt_objects is not None:
            facts.append(('objects of shape', tuple(self.gt_objects.shape), (num_frames, height, width)))
            facts.append(('objects of dtype', self.gt_objects.dtype, torch.uint8))
        for name, found, expected in facts:
            if found != expected:
                raise ValueError(f'video {self.video_path!r} has {name} {found}, expected {expected}')

    @property
    def phrases(self) -> list[str]:
        """M strings, as read from the dataset."""
        return self.sequences[0].phrases

    @property
    def phrase_infos(self) -> list[PhraseInfo]:
        """M times what the dataset says of a phrase."""
        return list(self.sequences[0].phrase_infos or ())

    @property
    def num_masks(self) -> int:
        """M, the number of phrases and of masks of a frame."""
        return len(self.phrases)

    @property
    def views(self) -> list[ImageView]:
        """All views of all sequences: what the LMM reads of the video."""
        return [view for sequence in self.sequences for view in sequence.views]

    @property
    def has_target(self) -> Tensor:
        """[F * M] bool, whether each frame shows what each phrase means, frame after frame.

        Raises:
            ValueError: no truth is known.
        """
        if self.gt_masks is None:
            raise ValueError(
                f'video {self.video_path!r} has no truth masks, so nothing says which frames show a target'
            )
        return nonempty(self.gt_masks.flatten(0, 1))

    @property
    def image_path(self) -> str:
        """What messages call it, as they call images."""
        return self.video_path

    def _places(self) -> set[tuple[int, int]]:
        return {
            (number, view)
            for number, sequence in enumerate(self.sequences)
            for view in range(len(sequence.views) if sequence.is_video else 1)
        }

    def frame_sample(self, number: int, *, features: FrozenFeatures) -> GroundingSample:
        """Return a frame as a sample by itself, which carries what the frozen parts say of it.

        Args:
            number: of the frame.
            features: with ``attentions`` [M, C, h, w] to the view that shows the frame.
        """
        sequence, view = self.shown_in[number]
        source = self.sequences[sequence]
        views = source.views[view : view + 1] if source.is_video else source.views
        truth = None if self.gt_masks is None else self.gt_masks[number]
        ignored = None if self.gt_objects is None else (self.gt_objects[number] == VOID).expand(self.num_masks, -1, -1)
        return GroundingSample(
            input_ids=source.input_ids,
            mask_ids=source.mask_ids,
            lmm_inputs=None,
            views=views,
            phrases=self.phrases,
            masks=None if truth is None else image_to_processed(truth, views[-1].meta_data),
            gt_masks=truth,
            image=self.frames[number],
            image_path=f'{self.video_path}/{self.frame_names[number]}',
            phrase_infos=self.phrase_infos,
            ignore_masks=ignored,
            dataset_name=self.dataset_name,
            sample_idx=self.sample_idx,
            features=features,
            prompt_length=source.prompt_length,
            independent=source.independent,
        )

    def to(self, device: torch.device | str) -> 'ClipSample':
        """Return a copy whose tensors lie on ``device``."""
        moved = copy.copy(self)
        moved.sequences = [sequence.to(device) for sequence in self.sequences]
        moved.gt_masks = None if self.gt_masks is None else self.gt_masks.to(device)
        moved.gt_objects = None if self.gt_objects is None else self.gt_objects.to(device)
        return moved

    def with_outputs(self, **outputs: Any) -> 'ClipSample':
        """Return a copy with what the model has made of it."""
        made = copy.copy(self)
        for name, value in outputs.items():
            setattr(made, name, value)
        return made
