"""The size at which the frames of a video are read: bounds for each frame, and one for all of them together."""

from dataclasses import dataclass, fields

from flmm.video.frame_sampling import FRAMES_MERGED, check_integer

UNIT = 28
"""Side in px of what one token of Qwen2-VL and Qwen2.5-VL shows of a frame; 32 in Qwen3-VL."""
MIN_TOKENS = 128
MAX_TOKENS = 768
"""Of a merged pair of frames."""
CONTEXT_TOKENS = 128_000
CONTEXT_SHARE = 0.9
"""Of the context, by default all videos take so much."""


@dataclass(frozen=True, kw_only=True)
class FrameSize:
    """Bounds of the size of frames, by the arithmetic of qwen-vl-utils 0.0.14.

    Args:
        min_pixels: smallest area of a frame in px; None is that of 128 tokens, or of one token if ``max_pixels`` is
            below that of 128, where qwen-vl-utils fails.
        max_pixels: largest area of a frame in px; None, or more than that, is that of 768 tokens.
        total_pixels: largest area of all frames, counted once for each merged pair of them, in px; None is that of
            115,200 tokens. Of long videos it makes frames smaller, down to 1.05 times ``min_pixels``.
        unit: side in px of what one token shows.

    Raises:
        ValueError: a number that is no integer of at least 1, ``max_pixels`` below ``min_pixels`` or below one token.

    >>> FrameSize().resized((1920, 1080), num_frames=8)
    (1008, 560)
    """

    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None
    unit: int = UNIT

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                check_integer(value, name=field.name, least=1)
        least = max(self.unit**2, self.min_pixels or 0)
        if self.max_pixels is not None and self.max_pixels < least:
            raise ValueError(
                f'max_pixels is {self.max_pixels}, expected at least {least}, which is min_pixels or the area of one '
                f'token, {self.unit} x {self.unit} px'
            )

    def bounds(self, num_frames: int) -> tuple[int, float]:
        """Return the smallest and the largest area of a frame, in px, in a video of which so many frames are read."""
        token = self.unit**2
        smallest = self.min_pixels
        if smallest is None:
            smallest = MIN_TOKENS * token
            if self.max_pixels is not None and self.max_pixels < smallest:
                smallest = token
        total = CONTEXT_TOKENS * token * CONTEXT_SHARE if self.total_pixels is None else self.total_pixels
        largest = max(min(MAX_TOKENS * token, total / num_frames * FRAMES_MERGED), int(smallest * 1.05))
        return smallest, largest if self.max_pixels is None else min(self.max_pixels, largest)

    def resized(self, size: tuple[int, int], *, num_frames: int) -> tuple[int, int]:
        """Return the width and height at which frames are read, multiples of ``unit``.

        Args:
            size: width and height of the frames in px.
            num_frames: how many frames of the video are read.

        Raises:
            ValueError: one side is more than 200 times the other.
        """
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

        smallest, largest = self.bounds(num_frames)
        width, height = size
        new_height, new_width = smart_resize(height, width, factor=self.unit, min_pixels=smallest, max_pixels=largest)
        return new_width, new_height
