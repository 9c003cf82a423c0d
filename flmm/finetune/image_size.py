"""The size at which a processor reads images and videos."""

from typing import Any

from transformers import Qwen2VLVideoProcessor

from flmm.video import FrameSize
from flmm.video.frame_sampling import FRAMES_MERGED


def set_image_size(processor: Any, *, min_pixels: int | None = None, max_pixels: int | None = None) -> None:
    """Set the bounds of a Qwen2-VL or Qwen2.5-VL processor's resizing, to be saved with it.

    Args:
        processor: changed in place.
        min_pixels: smallest area after resizing, in px; None keeps the checkpoint's.
        max_pixels: largest area after resizing, in px; None keeps the checkpoint's.

    Raises:
        ValueError: bounds that exclude each other, or a largest area below that of one image token.
    """
    image_processor = processor.image_processor
    smallest = image_processor.size['shortest_edge'] if min_pixels is None else min_pixels
    largest = image_processor.size['longest_edge'] if max_pixels is None else max_pixels
    token = (image_processor.patch_size * image_processor.merge_size) ** 2
    if not 0 < smallest <= largest or largest < token:
        raise ValueError(
            f'images of min_pixels={smallest} to max_pixels={largest} px are asked for; expected '
            f'0 < min_pixels <= max_pixels, and max_pixels of at least {token}, the area of one image token. What is '
            "not given is the checkpoint's"
        )
    processor.image_processor = type(image_processor).from_dict(
        {**image_processor.to_dict(), 'size': {'shortest_edge': smallest, 'longest_edge': largest}}
    )


def frame_size_for(processor: Any, **settings: int | None) -> FrameSize:
    """Return the size of frames for a processor.

    Args:
        processor: says how large its tokens are.
        **settings: ``min_pixels``, ``max_pixels`` and ``total_pixels`` of :class:`FrameSize`.

    Raises:
        ValueError: a setting out of its range.
    """
    video_processor = processor.video_processor
    return FrameSize(unit=video_processor.patch_size * video_processor.merge_size, **settings)


def set_video_size(processor: Any, frame_size: FrameSize) -> None:
    """Set the bounds of a processor's resizing of frames, to be saved with it, to those that short videos are read by.

    Args:
        processor: changed in place.
        frame_size: its ``total_pixels``, by which the frames of long videos are smaller, is left out.

    Raises:
        ValueError: the processor, such as that of Qwen3-VL, bounds all frames together.
    """
    video_processor = processor.video_processor
    if not isinstance(video_processor, Qwen2VLVideoProcessor):
        raise ValueError(
            f'the size of a frame cannot be set in a {type(video_processor).__name__}, which bounds all frames of a '
            'video together; fine-tune a Qwen2-VL or Qwen2.5-VL on videos, or this model on images alone'
        )
    smallest, largest = frame_size.bounds(FRAMES_MERGED)
    processor.video_processor = type(video_processor).from_dict(
        {**video_processor.to_dict(), 'size': {'shortest_edge': smallest, 'longest_edge': int(largest)}}
    )
