"""The video parts of messages: which keys they have, and what is read by them."""

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from flmm.files import path_inside
from flmm.video import FrameSampling, FrameSize, read_clip_shape
from flmm.video.frame_sampling import check_rate

SAMPLING_KEYS = tuple(field.name for field in fields(FrameSampling))
SIZE_KEYS = ('min_pixels', 'max_pixels', 'total_pixels')
RATE_KEYS = ('sample_fps', 'raw_fps')


def parse_video_part(
    part: Mapping[str, Any],
    where: str,
    *,
    root: Path,
    allow_outside: bool,
    orientation: str,
    max_pixels: int,
    frame_size: FrameSize,
) -> dict[str, Any]:
    """Check a part ``{"type": "video", "video": ..., ...}`` and the headers of its files.

    Args:
        part: what the file of conversations has.
        where: what errors call it.
        root: folder that paths are relative to.
        allow_outside: whether paths may lead out of it.
        orientation: what to do with frames that EXIF says to turn.
        max_pixels: largest width times height of a frame as it is stored.
        frame_size: what the part's own keys are set beside.

    Returns:
        ``type``, ``name`` of the video, ``shape`` [T, 3, H, W] of the frames that are read, and ``source`` and
        ``settings``, by which :func:`flmm.video.read_clip` reads them.

    Raises:
        ValueError: a key is unknown or its value out of its range, or the video cannot be read as it asks; names
            ``where``, the key and the file.
    """
    known = ('type', 'video', *SAMPLING_KEYS, *SIZE_KEYS, *RATE_KEYS)
    given = {key: value for key, value in part.items() if value is not None}
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ValueError(f'{where}.{unknown[0]}: no key of a video; they are {", ".join(known)}')
    video = given.get('video')
    is_list = isinstance(video, list)
    if not (isinstance(video, str) or is_list) or not video:
        raise ValueError(f'{where}.video: expected the path of a file or a list of paths of frames, got {video!r}')
    sampling_keys = [key for key in SAMPLING_KEYS if key in given]
    for key in RATE_KEYS:
        if key in given and not is_list:
            raise ValueError(f'{where}.{key}: only a list of frames needs a rate, a file knows its own; leave it out')
    if is_list and sampling_keys and 'sample_fps' not in given:
        raise ValueError(
            f'{where}.{sampling_keys[0]}: frames of a list are chosen by their rate; give it as sample_fps, or leave '
            f'{sampling_keys[0]} out to read all of them'
        )
    try:
        for key in RATE_KEYS:
            check_rate(given.get(key, 1), name=key)
        sampling = FrameSampling(**{key: given[key] for key in sampling_keys})
        size = replace(frame_size, **{key: given[key] for key in SIZE_KEYS if key in given})
    except ValueError as error:
        raise ValueError(f'{where}.{error}') from error
    try:
        paths = [_existing(root, path, allow_outside=allow_outside) for path in (video if is_list else [video])]
        name = f'{len(paths)} frames from {paths[0]}' if is_list else str(paths[0])
        source = paths if is_list else paths[0]
        settings = {
            'sampling': sampling if sampling_keys else None,
            'fps': given.get('sample_fps'),
            'raw_fps': given.get('raw_fps'),
            'frame_size': size,
            'name': name,
            'orientation': orientation,
            'max_pixels': max_pixels,
        }
        shape = read_clip_shape(source, **settings)
    except ValueError as error:
        raise ValueError(f'{where}.video: {error}') from error
    return {'type': 'video', 'name': name, 'shape': shape, 'source': source, 'settings': settings}


def _existing(root: Path, name: Any, *, allow_outside: bool) -> Path:
    path = path_inside(root, name, allow_outside=allow_outside)
    if not os.path.lexists(path):
        raise ValueError(f'no such file: {path}')
    return path
