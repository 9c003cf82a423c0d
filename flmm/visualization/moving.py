"""Pictures after one another as a GIF or an MP4."""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from PIL import Image

from flmm.atomic_write import open_atomic


def save_moving(pictures: Iterable[Image.Image], path: str | os.PathLike, *, fps: float) -> None:
    """Write pictures as a moving one; it is there as a whole or not at all.

    Args:
        pictures: RGB, of one size, at least one; taken one after the other.
        path: ends in .gif, which repeats for ever, or in .mp4 (H.264), which PyAV writes.
        fps: pictures in a second. A GIF shows each for a whole number of hundredths of a second, two at the least.

    Raises:
        ValueError: a path that ends otherwise, an ``fps`` that is not above 0, or no PyAV for an MP4.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise ValueError(f'{os.fspath(path)!r} is no moving picture; let it end in one of {sorted(WRITERS)}')
    if not fps > 0:
        raise ValueError(f'fps is {fps}, expected pictures in a second, above 0')
    if suffix == '.mp4':
        _import_av()
    with open_atomic(path) as file:
        WRITERS[suffix](pictures, file, fps)


def _write_gif(pictures: Iterable[Image.Image], file: BinaryIO, fps: float) -> None:
    rest = iter(pictures)  # Pillow takes one after the other, and keeps what changes, a byte a pixel
    duration = 10 * max(round(100 / fps), 2)  # in ms
    next(rest).save(file, format='GIF', save_all=True, append_images=rest, duration=duration, loop=0)


def _write_mp4(pictures: Iterable[Image.Image], file: BinaryIO, fps: float) -> None:
    av = _import_av()
    with av.open(file, 'w', format='mp4') as container:
        stream = container.add_stream('libx264', rate=Fraction(fps).limit_denominator(1000))
        stream.pix_fmt = 'yuv420p'
        for number, picture in enumerate(pictures):
            width, height = (-(-side // 2) * 2 for side in picture.size)  # whose colours have half the size
            if number == 0:
                stream.width, stream.height = width, height
            even = Image.new('RGB', (width, height), 'white')
            even.paste(picture)
            container.mux(stream.encode(av.VideoFrame.from_image(even)))
        container.mux(stream.encode(None))


def _import_av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise ValueError("an MP4 needs PyAV: pip install '.[video]'; or let the file end in .gif") from error
    return av


WRITERS = {'.gif': _write_gif, '.mp4': _write_mp4}
