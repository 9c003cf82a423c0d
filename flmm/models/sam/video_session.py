"""What transformers' SAM 2 keeps of a video while it tracks, made to stay small."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor
from transformers import Sam2VideoModel, Sam2VideoProcessor
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceCache, Sam2VideoInferenceSession

OBJECT = 0
"""What the only object of a session is called."""


@dataclass(kw_only=True, eq=False)
class VideoPixels:
    """The frames of a video as SAM 2 reads them, each processed when it is asked for; shared by all sessions of it.

    Args:
        frames: F RGB images.
        processor: of the model.
        image_size: (IH, IW) that they must have.
        model: whose image encoder reads them; the features of the last frame are kept.
        name: what errors call the video.
    """

    frames: Sequence[Image.Image]
    processor: Sam2VideoProcessor
    image_size: tuple[int, int]
    model: Sam2VideoModel
    name: str

    def __post_init__(self) -> None:
        device = self.model.device
        self.features = Sam2VideoInferenceCache(inference_device=device, inference_state_device=device)

    def __getitem__(self, frame: int) -> Tensor:
        """Return a frame as stock processing makes it: [3, L, L].

        Raises:
            ValueError: it is of another size than the first.
        """
        image = self.frames[frame]
        if image.size[::-1] != self.image_size:
            raise ValueError(
                f'video {self.name!r}: frame {frame} is {image.width}x{image.height} px, expected '
                f'{self.image_size[1]}x{self.image_size[0]} as frame 0; resize it, or track each size on its own'
            )
        made = self.processor.video_processor(videos=pil_to_tensor(image.convert('RGB'))[None], return_tensors='pt')
        return made.pixel_values_videos[0, 0].to(self.model.device)


class ObjectSession(Sam2VideoInferenceSession):
    """A session of one object. transformers tracks several in one session rightly only if all begin in one frame.

    Differs from the stock session in what it holds: pixels are processed on demand, features are shared with the
    sessions of other objects, and outputs are dropped that the model will not read again.

    Args:
        pixels: of the video.
    """

    def __init__(self, pixels: VideoPixels) -> None:
        height, width = pixels.image_size
        device = pixels.model.device
        super().__init__(
            video_height=height,
            video_width=width,
            inference_device=device,
            inference_state_device=device,
            dtype=pixels.model.dtype,
        )
        self.pixels = pixels
        self.cache = pixels.features
        self.first = len(pixels.frames)
        config = pixels.model.config
        self.remembered = max(config.num_maskmem, config.max_object_pointers_in_encoder) - 1

    @property
    def num_frames(self) -> int:
        """F."""
        return len(self.pixels.frames)

    def get_frame(self, frame_idx: int) -> Tensor:
        """Process a frame: [3, L, L]."""
        return self.pixels[frame_idx]

    def begin(self, frame: int, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Let the model memorize a given mask, [IH, IW] bool; to be called for all of them before any :meth:`step`.

        Returns:
            What the model makes of it: logits [h, w], and the object score.
        """
        self.pixels.processor.add_inputs_to_inference_session(
            self, frame_idx=frame, obj_ids=OBJECT, input_masks=mask.to(self.pixels.model.device)
        )
        self.first = min(self.first, frame)
        return self._output(frame, reverse=False)

    def step(self, frame: int, *, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """Track the object into the next frame, or with ``reverse`` into the one before; returns as :meth:`begin`."""
        found = self._output(frame, reverse=reverse)
        # Forward, the model reads so many frames back; in reverse, which begins before `first`, so many ahead.
        tracked = self.output_dict_per_obj[OBJECT]['non_cond_frame_outputs']
        for other in list(tracked):
            behind = other - frame if reverse else frame - other
            if behind >= self.remembered and (reverse or other >= self.first + self.remembered):
                del tracked[other]
        return found

    def _output(self, frame: int, *, reverse: bool) -> tuple[Tensor, Tensor]:
        found = self.pixels.model(self, frame_idx=frame, reverse=reverse)
        for kept in self.output_dict_per_obj[OBJECT].values():
            if frame in kept:  # 4 MB that went into the memory just now, and are not read again
                kept[frame].pop('high_res_masks', None)
        return found.pred_masks[0, 0], found.object_score_logits.flatten()[0]
