"""SAM 2's tracker as a part of a model: the best masks of a grounded clip, carried through all of its frames.

Letters: F frames, M phrases.
"""

import os
from collections.abc import Sequence

import torch
from PIL import Image
from torch import nn

from flmm.models.sam.best_frames import best_masks
from flmm.registry import MODELS
from flmm.structures import GroundingSample


@MODELS.register_module()
class ClipTracker(nn.Module):
    """Keeps the masks of each phrase's best frames, and lets SAM 2's video model carry them through the clip.

    It is frozen, and stays in evaluation mode and out of checkpoints (:data:`flmm.models.frozen_parts.FROZEN`).

    Args:
        name_or_path: of SAM 2's video model, a folder, or else a name on the hub, such as
            'facebook/sam2.1-hiera-large'.
        num_key_frames: how many frames of each phrase are kept.

    Raises:
        ValueError: no such folder or name, a checkpoint that lacks weights or is of another model, a transformers that
            has no such model, or ``num_key_frames`` below 1.

    >>> model = dict(tracker=dict(name_or_path='facebook/sam2.1-hiera-large', num_key_frames=2))
    """

    def __init__(self, *, name_or_path: str | os.PathLike, num_key_frames: int = 1) -> None:
        super().__init__()
        if num_key_frames < 1:
            raise ValueError(f'tracker.num_key_frames is {num_key_frames}, expected 1 or more')
        try:
            from flmm.models.sam.video_tracker import VideoTracker  # here, since few models track

            self.tracker = VideoTracker.from_pretrained(name_or_path)
        except (ImportError, ValueError) as error:
            raise ValueError(
                f"tracker.name_or_path is {os.fspath(name_or_path)!r}, expected transformers' SAM 2 for video, such as "
                f"'facebook/sam2.1-hiera-large': {error}; without tracker, masks of a frame stay as they are"
            ) from error
        self.num_key_frames = num_key_frames
        self.model = self.tracker.model.requires_grad_(requires_grad=False)

    def train(self, mode: bool = True) -> 'ClipTracker':  # noqa: FBT001, FBT002 (torch's signature)
        """Stay in evaluation mode."""
        return super().train(mode=False)

    @torch.no_grad()
    def forward(self, images: Sequence[Image.Image], frames: Sequence[GroundingSample]) -> list[GroundingSample]:
        """Track the phrases of a clip, in float32 also under AMP.

        Args:
            images: F RGB images of one size.
            frames: what was found in each, M masks, on one device.

        Returns:
            Copies that have the tracker's masks as ``refined``; ``existence`` and ``exists`` say whether SAM 2 sees the
            object in the frame, and ``sam_scores`` are those of the best of the masks that were kept. A phrase without
            a mask in any frame has none, and score 0. Coarse masks stay, with the model's own verdict.
        """
        found = [frame.refined for frame in frames if frame.refined is not None]
        given, scores = best_masks(
            found,
            scores=[frame.sam_scores for frame in frames if frame.sam_scores is not None],
            existence=[frame.existence for frame in frames],
            exists=[frame.exists for frame in frames],
            num=self.num_key_frames,
        )
        device = found[0].small.device
        with torch.autocast(self.model.device.type, enabled=False):
            tracks = self.tracker.track(images, given).to(device)
        return [
            frame.with_outputs(
                refined=refined,
                sam_scores=scores.to(device),
                existence=seen,
                exists=exists,
                coarse_exists=frame.exists,
                tracked=True,
            )
            for frame, refined, seen, exists in zip(frames, tracks.logits, tracks.seen, tracks.exists, strict=True)
        ]
