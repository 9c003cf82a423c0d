"""mask_dict.json, in which MeViS keeps masks: for each object of a video an RLE or null for each of its frames."""

import json
from collections.abc import Mapping
from typing import Any

from flmm.json_files import brief, read_json
from flmm.rle import check_rle


class MaskTracks:
    """The masks of those objects that expressions mean, kept as text: a training set has half a million.

    Args:
        path: The JSON file: key -> a list with a compressed RLE, or null, for each frame of the object's video.
        num_frames: the keys that are meant -> how many frames the video has, and what messages say of it.

    Raises:
        ValueError: the file is no JSON, lacks a key, has another number of masks than of frames, or a mask that is
            broken, of another size than those before it, or empty in all frames. The message names file and key.
    """

    def __init__(self, path: str, *, num_frames: Mapping[str, tuple[int, str]]) -> None:
        where = f'mask_file {path!r}'
        content = read_json(path, setting='mask_file')
        if not isinstance(content, dict):
            raise ValueError(f'{where} is {brief(content)}, expected an object with a list of masks for each object')
        self._texts = {}
        for key, (number, video) in num_frames.items():
            if key not in content:
                raise ValueError(f'{where} lacks the key {key!r}, which {video} means; take both from one release')
            _check_track(content[key], number, where=f'{key!r} of {where}', video=video)
            self._texts[key] = json.dumps(content[key])

    def __getitem__(self, key: str) -> list[dict[str, Any] | None]:
        """Return the masks of an object: an RLE, or None where it is not seen, for each frame."""
        return json.loads(self._texts[key])


def _check_track(track: Any, number: int, *, where: str, video: str) -> None:
    if not isinstance(track, list) or len(track) != number:
        found = f'{len(track)} masks' if isinstance(track, list) else brief(track)
        raise ValueError(f'{where} has {found}, but {video} has {number} frames; give each frame an RLE or null')
    size = None
    for frame, rle in enumerate(track):
        if rle is None:
            continue
        try:
            if not isinstance(rle, dict):
                raise ValueError(f'is {brief(rle)}, expected an RLE or null')
            size = tuple(check_rle(rle, size=size)['size'])
        except ValueError as error:
            raise ValueError(f'mask {frame} of {where} {error}') from error
    if size is None:
        raise ValueError(f'{where} is null in all frames, though {video} means it; leave that expression out')
