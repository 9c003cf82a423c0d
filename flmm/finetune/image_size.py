"""The size at which a processor reads images."""

from typing import Any


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
