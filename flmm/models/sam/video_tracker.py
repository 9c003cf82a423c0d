"""Masks of some frames of a video carried through all of them by SAM 2 (Ravi et al., "SAM 2", 2024).

Letters: F frames, M objects, (IH, IW) a frame in px, L the side of SAM's square in px, (h, w) SAM's grid of masks.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam2ImageProcessor, Sam2VideoModel, Sam2VideoProcessor, Sam2VideoVideoProcessor

from flmm.geometry import nonempty
from flmm.mask_logits import MaskLogits
from flmm.models.finite import check_finite
from flmm.models.sam.frame import SamFrame
from flmm.models.sam.video_session import ObjectSession, VideoPixels
from flmm.pretrained import load_video_sam

UNSEEN = -1024.0
"""Logit of every pixel of an object that is not seen in a frame, as SAM 2 itself has it; here also its object score."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """The masks of M objects in all F frames of a video, kept small.

    Args:
        logits: those of the M masks of each frame, on SAM's grid of masks.
        seen: [F, M], 0 to 1, how sure SAM 2 is that the frame shows the object: the sigmoid of its object score.
    """

    logits: list[MaskLogits]
    seen: Tensor

    @property
    def masks(self) -> Tensor:
        """[F, M, IH, IW] bool, all of them at full size. Made anew at each access."""
        return torch.stack([frame.masks() for frame in self.logits])

    @property
    def exists(self) -> Tensor:
        """[F, M] bool, whether SAM 2 rather sees the object in the frame than not."""
        return self.seen > 0.5

    def to(self, device: torch.device | str) -> 'Tracks':
        """Return a copy on ``device``."""
        logits = [replace(frame, small=frame.small.to(device)) for frame in self.logits]
        return Tracks(logits=logits, seen=self.seen.to(device))


class VideoTracker(nn.Module):
    """SAM 2's video model. Each object is tracked from frames in which its mask is given, forward and backward.

    An object is tracked as if it were alone in a session of transformers: its given masks first, then from the first
    of them to the last frame, then back to frame 0. The image encoder runs once a frame and direction, for all objects.

    Memory is bounded but for the results, a grid of logits for each frame and object: a frame is processed when it is
    reached, and what SAM 2 remembers of an object is dropped when it can no longer be read.

    Args:
        model: transformers' model, on the device to run on; it is put into evaluation mode.

    >>> tracker = VideoTracker.from_pretrained('facebook/sam2.1-hiera-large')
    >>> tracker.track(frames, [{0: mask_of_the_dog}, {3: mask_of_the_cat, 40: mask_of_the_cat_later}]).masks.shape
    torch.Size([64, 2, 480, 640])
    """

    def __init__(self, *, model: Sam2VideoModel) -> None:
        super().__init__()
        self.model = model.eval()
        self.frame = SamFrame(side=model.config.image_size, squashed=True)
        size = {'height': self.frame.side, 'width': self.frame.side}
        self.processor = Sam2VideoProcessor(
            image_processor=Sam2ImageProcessor(size=size), video_processor=Sam2VideoVideoProcessor(size=size)
        )

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike, *, device: str = 'cpu') -> 'VideoTracker':
        """Load the model with its published weights, in float32.

        Args:
            name_or_path: a folder, or else a name on the hub, such as 'facebook/sam2.1-hiera-large'.
            device: name of a torch device, such as 'cuda:0'.

        Raises:
            ValueError: no such folder or name, a checkpoint that lacks weights, or a model of another kind.
        """
        model = load_video_sam(name_or_path)
        if not isinstance(model, Sam2VideoModel):
            raise ValueError(
                f'{os.fspath(name_or_path)!r} holds a {type(model).__name__}, expected a Sam2VideoModel, such as '
                "'facebook/sam2.1-hiera-large'"
            )
        return cls(model=model.to(device))

    def keeps(self, masks: Tensor) -> Tensor:
        """Say of which masks SAM 2 leaves a pixel in their own frame, where objects of few px may vanish.

        A mask goes from the frame to the square of L x L px, from there to the grid of (h, w), and back, as
        transformers resamples it where it is given. With published weights a cell of the grid is 4 x 4 px of 1,024.

        Args:
            masks: [m, IH, IW] bool.

        Returns:
            [m] bool. Only of these can objects be tracked.
        """
        resize = partial(F.interpolate, mode='bilinear', antialias=True)
        kept = []
        for mask in masks.split(1):  # one by one: a square of 1,024 px is a hundred times what a small frame takes
            square = resize(mask[None].float(), (self.frame.side, self.frame.side)) >= 0.5  # what the processor gives
            grid = resize(square * 20.0 - 10.0, self.model.prompt_encoder.mask_input_size)[0]  # logits of the model
            kept.append(nonempty(self.frame.logits_to_image(grid, mask.shape[-2:]) > 0))
        return torch.cat(kept)

    def track(
        self, frames: Sequence[Image.Image], given: Sequence[Mapping[int, Tensor]], *, name: str = 'video'
    ) -> Tracks:
        """Carry the masks of M objects through a video.

        Args:
            frames: F RGB images of one size. Each is asked for when it is reached, so they may be decoded on demand.
            given: for each object, its mask, [IH, IW] bool, in the frames that it is tracked from, by frame number. An
                object without any is not tracked: it stays empty.
            name: what errors call the video.

        Returns:
            The masks, on the CPU. In a frame where the mask was given, it is that mask as SAM 2 resamples it, which has
            a pixel at least.

        Raises:
            ValueError: no frames or objects, frames of different sizes, or a mask of no frame, of another size, or
                of which SAM 2 would leave no pixel (:meth:`keeps`).
            NonFiniteError: the model gave a nan or an infinity; the message names video and frame.
        """
        try:
            image_size = self._checked_size(frames, given)
        except ValueError as error:
            raise ValueError(f'video {name!r}: {error}') from error
        height, width = self.model.prompt_encoder.mask_input_size
        small = torch.full((len(frames), len(given), height, width), UNSEEN)  # [F, M, h, w]
        scores = torch.full((len(frames), len(given)), UNSEEN)
        pixels = VideoPixels(
            frames=frames, processor=self.processor, image_size=image_size, model=self.model, name=name
        )
        for frame, index, logits, score in self._outputs(pixels, given):
            small[frame, index] = logits
            scores[frame, index] = score
            check_finite((f'{name}, frame {frame}', "SAM 2's tracker", each[frame, index]) for each in (small, scores))
        to_image = partial(self.frame.logits_to_image, image_size=image_size)
        logits = [MaskLogits(small=each, image_size=image_size, to_image=to_image) for each in small]
        return Tracks(logits=logits, seen=scores.sigmoid())

    @torch.inference_mode()
    def _outputs(
        self, pixels: VideoPixels, given: Sequence[Mapping[int, Tensor]]
    ) -> Iterator[tuple[int, int, Tensor, Tensor]]:
        """Yield frame, object, its logits [h, w] there, and its object score; what is later yielded again, counts."""
        sessions = {index: ObjectSession(pixels) for index, masks in enumerate(given) if masks}
        for frame in sorted({frame for masks in given for frame in masks}):
            for index, session in sessions.items():
                if frame in given[index]:
                    yield frame, index, *session.begin(frame, given[index][frame])
        for frame in range(len(pixels.frames)):
            for index, session in sessions.items():
                if frame > session.first:
                    yield frame, index, *session.step(frame)
        for frame in reversed(range(len(pixels.frames))):
            for index, session in sessions.items():
                if frame < session.first:
                    yield frame, index, *session.step(frame, reverse=True)

    def _checked_size(self, frames: Sequence[Image.Image], given: Sequence[Mapping[int, Tensor]]) -> tuple[int, int]:
        """Return (IH, IW), or raise what :meth:`track` says. Frames are looked at later, but for the first."""
        if not len(frames) or not len(given):
            raise ValueError(f'{len(frames)} frames and {len(given)} objects; give at least one of each')
        width, height = frames[0].size
        for index, masks in enumerate(given):
            for frame, mask in masks.items():
                name = f'mask of object {index} in frame {frame}'
                if not 0 <= frame < len(frames):
                    raise ValueError(f'{name}: the video has frames 0 to {len(frames) - 1}')
                if tuple(mask.shape) != (height, width) or mask.dtype != torch.bool:
                    raise ValueError(f'{name} is {mask.dtype} {tuple(mask.shape)}, expected bool {(height, width)}')
                if not self.keeps(mask[None]):
                    raise ValueError(
                        f'{name} has {int(mask.sum())} px, of which SAM 2 leaves none on its grid of '
                        f'{"x".join(map(str, self.model.prompt_encoder.mask_input_size))} cells; leave it out'
                    )
        return height, width
