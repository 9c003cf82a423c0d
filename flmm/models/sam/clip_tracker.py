"""SAM 2's tracker as a part of a model: the best masks of a grounded clip, carried through all of its frames.

Letters: F frames, M phrases.
"""

import os
from collections.abc import Sequence

import torch
from PIL import Image
from torch import nn

from flmm.models.sam.best_frames import best_masks
from flmm.registry import MODELS, is_type
from flmm.structures import GroundingSample


@MODELS.register_module()
class ClipTracker(nn.Module):
    """Keeps the masks of each phrase's best frames, and lets SAM 2's video model carry them through the clip.

    A model freezes it, keeps it in evaluation mode, and leaves it out of checkpoints
    (:data:`flmm.models.frozen_parts.FROZEN`).

    Args:
        name_or_path: of SAM 2's video model, a folder, or else a name on the hub, such as
            'facebook/sam2.1-hiera-large'.
        num_key_frames: how many frames of each phrase are kept.

    Raises:
        ValueError: no such folder or name, a checkpoint that lacks weights or is of another model, a transformers that
            has no such model, or ``num_key_frames`` that is no int of at least 1.

    >>> model = dict(tracker=dict(name_or_path='facebook/sam2.1-hiera-large', num_key_frames=2))
    """

    def __init__(self, *, name_or_path: str | os.PathLike, num_key_frames: int = 1) -> None:
        super().__init__()
        if not isinstance(num_key_frames, int) or isinstance(num_key_frames, bool) or num_key_frames < 1:
            raise ValueError(f'model.tracker.num_key_frames is {num_key_frames!r}, expected an int of 1 or more')
        try:
            from flmm.models.sam.video_tracker import VideoTracker  # here, since few models track

            self.video_tracker = VideoTracker.from_pretrained(name_or_path)
        except (ImportError, ValueError) as error:
            raise ValueError(
                f"model.tracker.name_or_path is {os.fspath(name_or_path)!r}, expected transformers' SAM 2 for video, "
                f"such as 'facebook/sam2.1-hiera-large': {error}; without tracker, masks of a frame stay as they are"
            ) from error
        self.num_key_frames = num_key_frames

    @torch.no_grad()
    def forward(self, images: Sequence[Image.Image], frames: Sequence[GroundingSample]) -> list[GroundingSample]:
        """Track the phrases of a clip, in float32 also under AMP.

        Args:
            images: F RGB images of one size.
            frames: what was found in each, M masks, on one device. Errors call the clip by the folder of their paths.

        Returns:
            Copies that have the tracker's masks as ``refined``; ``existence`` and ``exists`` say whether SAM 2 sees the
            object in the frame, and ``sam_scores`` are those of the best of the masks that were kept. A phrase without
            a mask that can be tracked in any frame has none, and score 0. Coarse masks stay, with the model's own
            verdict.

        Raises:
            ValueError: a frame without refined masks.
            NonFiniteError: SAM 2 gave a nan or an infinity; the message names clip and frame.
        """
        found, scores = [], []
        for frame in frames:
            if frame.refined is None or frame.sam_scores is None:
                raise ValueError(f'frame {frame.image_path!r} has no refined masks to track; predict it first')
            found.append(frame.refined)
            scores.append(frame.sam_scores)
        given, highest = best_masks(
            found,
            scores=scores,
            existence=[frame.existence for frame in frames],
            exists=[frame.exists for frame in frames],
            num=self.num_key_frames,
            keeps=self.video_tracker.keeps,
        )
        device = found[0].small.device
        with torch.autocast(self.video_tracker.model.device.type, enabled=False):
            name = os.path.dirname(frames[0].image_path)  # the clip's own, see ClipSample.frame_sample
            tracks = self.video_tracker.track(images, given, name=name).to(device)
        return [
            frame.with_outputs(
                refined=refined,
                sam_scores=highest.to(device),
                existence=seen,
                exists=exists,
                coarse_exists=frame.exists,
                tracked=True,
            )
            for frame, refined, seen, exists in zip(frames, tracks.logits, tracks.seen, tracks.exists, strict=True)
        ]


def build_tracker(tracker: nn.Module | dict | None) -> nn.Module | None:
    """Build what a model's setting ``tracker`` asks for.

    Args:
        tracker: config of a :class:`ClipTracker`, which may lack its type, or of what does the same; or that itself.

    Raises:
        ValueError: it is something else, or names no SAM 2.
    """
    if tracker is None or isinstance(tracker, nn.Module):
        return tracker
    example = "dict(name_or_path='facebook/sam2.1-hiera-large')"
    if not isinstance(tracker, dict):
        raise ValueError(f'model.tracker is {tracker!r}, expected {example}, or None to leave it out')
    settings = {'type': ClipTracker, **tracker}
    name = settings.get('name_or_path')
    if is_type(settings, ClipTracker) and not isinstance(name, (str, os.PathLike)):
        raise ValueError(f'model.tracker.name_or_path is {name!r}, expected a folder or a name on the hub: {example}')
    return MODELS.build(settings)
