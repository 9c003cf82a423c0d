"""Video files of a few small frames, each of another grey level, for tests."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

MILLISECONDS = Fraction(1, 1000)


def grey_of(number: int) -> int:
    """The brightness of frame ``number`` of :func:`write_video`, far enough apart to survive the codec."""
    return 20 + 5 * number


def write_video(
    path: Path,
    *,
    num_frames: int = 30,
    size: tuple[int, int] = (96, 64),
    fps: int = 10,
    times: Sequence[float] | None = None,
    codec: str = 'libx264',
    rotation: int = 0,
    mirrored: bool = False,
    key_every: int = 8,
    options: dict[str, str] | None = None,
) -> Path:
    """Write frames whose left upper quarter is red; their rest has the brightness of :func:`grey_of`.

    Args:
        path: its suffix says which container.
        num_frames: how many.
        size: width and height in px as they are stored.
        fps: their rate.
        times: of frames that are not evenly spaced, in s.
        codec: FFmpeg's name; all but the first frame of ``key_every`` refer to others.
        rotation: counter-clockwise turn in degrees by which players show them.
        mirrored: whether players mirror them behind that, left to right.
        key_every: frames from one key frame to the next.
        options: of the codec, under FFmpeg's names.
    """
    width, height = size
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
        stream.codec_context.gop_size = key_every
        stream.codec_context.options = options or {}
        stream.codec_context.time_base = MILLISECONDS if times else Fraction(1, fps)
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        for number in range(num_frames):
            pixels = np.full((height, width, 3), grey_of(number), np.uint8)
            pixels[: height // 2, : width // 2] = (200, 30, 30)
            frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
            frame.pts = round(times[number] * 1000) if times else number
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
