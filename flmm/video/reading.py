"""Videos, as files or as lists of frames, read as clips: the chosen frames alone, at the size that is asked for."""

import contextlib
import os
import reprlib
from collections.abc import Iterator, Sequence

import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tvF

from flmm.images import MAX_IMAGE_PIXELS, check_image_settings
from flmm.video.clip import Clip
from flmm.video.frame_list import FrameList
from flmm.video.frame_sampling import FPS, FRAMES_MERGED, FrameSampling, check_rate
from flmm.video.frame_size import FrameSize
from flmm.video.source import VideoSource
from flmm.video.video_file import open_video_file

MAX_CLIP_PIXELS = 1_000_000_000
"""Largest number of pixels of all frames of a clip together, which take 3 GB."""

VideoInput = str | os.PathLike | Sequence[str | os.PathLike | Image.Image]


def read_clip(
    source: VideoInput,
    *,
    sampling: FrameSampling | None = None,
    fps: float | None = None,
    raw_fps: float | None = None,
    frame_size: FrameSize | None = None,
    name: str | None = None,
    orientation: str = 'apply',
    max_pixels: int = MAX_IMAGE_PIXELS,
) -> Clip:
    """Read chosen frames of a video; of a file no others are kept in memory.

    Where the rate of a file varies, its average counts, for the choice and for times, as in qwen-vl-utils and in
    transformers. It is by how long FFmpeg says that frames last, which differs a little between versions of FFmpeg.

    Of a file, px are taken as square, whatever shape they have for players, and transparency is left out; transparent
    pixels of image files show white.

    Args:
        source: the path of a video file, or the frames in order of time, as paths of image files or as PIL images.
        sampling: which frames; None is two a second of a file, and all of a list, the last one twice if they are odd.
        fps: the rate of the frames of a list, 2 if None; files know theirs.
        raw_fps: the rate of the video that the frames of a list were taken from, in whose frames ``indices`` count;
            ``fps`` if None.
        frame_size: bounds to which frames are resized, as transformers' video processors do it; None leaves them.
        name: what errors call the video; by default its path, or 'list of frames'.
        orientation: what to do with image files that EXIF says to turn (:func:`flmm.images.read_rgb`); PIL images are
            taken as they are. Videos that are stored turned are always read as players show them.
        max_pixels: largest width times height of a frame as it is stored.

    Raises:
        ValueError: nothing can decode video files here (the message says what to install); the video cannot be read,
            is damaged or has no frames; its frames are of several sizes, or too many pixels; or a setting is out of its
            range or does not fit the video. The message names the video.
    """
    with _opened(source, fps=fps, raw_fps=raw_fps, name=name, orientation=orientation, max_pixels=max_pixels) as video:
        numbers, (width, height) = _chosen(video, sampling, frame_size)
        frames = torch.empty(len(numbers), 3, height, width, dtype=torch.uint8)
        for place, frame in enumerate(video.frames(numbers)):
            if frame.shape[1:] != video.size[::-1]:
                raise ValueError(
                    f'video {video.name!r}: frame {numbers[place]} has {frame.shape[2]} x {frame.shape[1]} px (width x '
                    f'height), the first {video.size[0]} x {video.size[1]}; frames of one video are of one size'
                )
            if frame.shape[1:] != (height, width):
                frame = tvF.resize(frame, [height, width], tvF.InterpolationMode.BICUBIC, antialias=True)
            frames[place] = frame
        scale = 1 if raw_fps is None else raw_fps / video.fps
        repeated = len(numbers) - len(set(numbers))
        start, end = (0, video.num_frames - 1) if sampling is None else sampling.range_of(video.num_frames, video.fps)
        return Clip(
            frames=frames,
            indices=tuple(round(number * scale) for number in numbers),
            source_fps=video.fps if raw_fps is None else raw_fps,
            num_source_frames=round(video.num_frames * scale),
            name=video.name,
            range_frames=(end - start + 1 + repeated) * scale,
        )


def read_clip_shape(
    source: VideoInput,
    *,
    sampling: FrameSampling | None = None,
    fps: float | None = None,
    raw_fps: float | None = None,
    frame_size: FrameSize | None = None,
    name: str | None = None,
    orientation: str = 'apply',
    max_pixels: int = MAX_IMAGE_PIXELS,
) -> tuple[int, ...]:
    """Return the shape [T, 3, H, W] of the frames that :func:`read_clip` would give, with those of its checks that need
    no pixels: of a file its packets are counted, of a list of files the headers are read.
    """
    with _opened(source, fps=fps, raw_fps=raw_fps, name=name, orientation=orientation, max_pixels=max_pixels) as video:
        numbers, (width, height) = _chosen(video, sampling, frame_size)
        return len(numbers), 3, height, width


@contextlib.contextmanager
def _opened(
    source: VideoInput,
    *,
    fps: float | None,
    raw_fps: float | None,
    name: str | None,
    orientation: str,
    max_pixels: int,
) -> Iterator[VideoSource]:
    check_image_settings(orientation=orientation, max_pixels=max_pixels)
    is_file = isinstance(source, str | os.PathLike)
    name = name or (str(source) if is_file else 'list of frames')
    if not is_file and (isinstance(source, bytes) or not isinstance(source, Sequence)):
        raise ValueError(f'video {name!r} is of type {type(source).__name__}, expected a path or a list of frames')
    for setting, value in (('fps', fps), ('raw_fps', raw_fps)):
        if value is not None:
            check_rate(value, name=f'video {name!r}: {setting}')
            if is_file:
                raise ValueError(f'video {name!r}: {setting} is {value}, and a file knows its rate; leave it out')
    if is_file:
        with open_video_file(source, name=name, max_pixels=max_pixels) as video:
            yield video
        return
    rate = FPS if fps is None else fps
    if raw_fps is not None and raw_fps < rate:
        raise ValueError(
            f'video {name!r}: raw_fps is {raw_fps}, less than the rate of the frames that were taken, {rate}'
        )
    yield FrameList(source, fps=rate, name=name, orientation=orientation, max_pixels=max_pixels)


def _chosen(
    video: VideoSource, sampling: FrameSampling | None, frame_size: FrameSize | None
) -> tuple[list[int], tuple[int, int]]:
    """The numbers of the frames to read, and their width and height."""
    for setting, value, expected in (('sampling', sampling, FrameSampling), ('frame_size', frame_size, FrameSize)):
        if value is not None and not isinstance(value, expected):
            raise ValueError(f'{setting} is {reprlib.repr(value)}, expected a {expected.__name__} of flmm.video')
    try:
        if sampling is None and isinstance(video, FrameList):
            last = video.num_frames - 1
            numbers = [*range(video.num_frames), *[last] * (video.num_frames % FRAMES_MERGED)]
        else:
            numbers = (sampling or FrameSampling()).choose(video.num_frames, video.fps)
        size = video.size if frame_size is None else frame_size.resized(video.size, num_frames=len(numbers))
    except ValueError as error:
        raise ValueError(f'video {video.name!r}: {error}') from error
    if len(numbers) * size[0] * size[1] > MAX_CLIP_PIXELS:
        raise ValueError(
            f'video {video.name!r}: {len(numbers)} frames of {size[0]} x {size[1]} px are more than '
            f'{MAX_CLIP_PIXELS:,} pixels in all; read fewer (nframes, max_frames) or smaller ones (frame_size)'
        )
    return numbers, size
