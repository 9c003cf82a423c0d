"""Two videos of a few pixels, in the layouts of Ref-YouTube-VOS and of MeViS, with the same truth."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flmm.rle import encode_masks

SIZE = (20, 28)
FRAMES = {'bird': ['00000', '00005', '00010'], 'cars': ['00000', '00001']}
OBJECTS = {'bird': 2, 'cars': 3}
FPS = {'bird': 6.0, 'cars': 2.0}
EXPRESSIONS = {
    'bird': [('0', 'the bird that lands', [1]), ('1', 'the fence', [2])],
    'cars': [('0', 'the red car', [1]), ('1', 'Both cars', [1, 2]), ('7', 'the lamp', [3])],
}
"""Video -> (id, text, what it means) of its expressions."""


def object_masks(video: str) -> np.ndarray:
    """[T, objects, H, W] bool, disjoint; object 1 of 'bird' is not in the first frame, 2 of 'cars' not in the last."""
    number = len(FRAMES[video])
    palette = np.random.default_rng(len(video)).integers(0, OBJECTS[video] + 1, (number, *SIZE))
    if video == 'bird':
        palette[0][palette[0] == 1] = 0
    else:
        palette[-1][palette[-1] == 2] = 0
    return np.stack([palette == index + 1 for index in range(OBJECTS[video])], axis=1)


def truth(video: str) -> np.ndarray:
    """[T, expressions, H, W] bool."""
    masks = object_masks(video)
    return np.stack(
        [masks[:, [object_id - 1 for object_id in ids]].any(axis=1) for _, _, ids in EXPRESSIONS[video]], axis=1
    )


def write_frames(root: Path) -> None:
    """Write ``JPEGImages/<video>/<frame>.jpg``."""
    for video, names in FRAMES.items():
        (root / 'JPEGImages' / video).mkdir(parents=True)
        for name in names:
            Image.fromarray(np.zeros((*SIZE, 3), dtype=np.uint8)).save(root / 'JPEGImages' / video / f'{name}.jpg')


def write_meta(path: Path, *, as_mevis: bool) -> None:
    """Write the file of expressions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    videos: dict[str, Any] = {}
    first = 0
    for video, frames in FRAMES.items():
        entries: dict[str, Any] = {}
        for expression_id, text, ids in EXPRESSIONS[video]:
            entries[expression_id] = {'exp': text, 'obj_id': str(ids[0]) if len(ids) == 1 else ids}
            if as_mevis:
                entries[expression_id].update(obj_id=[id_ - 1 for id_ in ids], anno_id=[first + id_ - 1 for id_ in ids])
        entries[EXPRESSIONS[video][0][0]]['kind'] = 'motion:first'
        videos[video] = {'expressions': entries, 'frames': frames}
        first += OBJECTS[video]
    videos['cars']['fps'] = FPS['cars']
    path.write_text(json.dumps({'videos': videos}))


def write_ref_youtube_vos(root: Path) -> None:
    """Write frames, ``meta_expressions.json`` and palettes, ``Annotations/<video>/<frame>.png``."""
    write_frames(root)
    write_meta(root / 'meta_expressions.json', as_mevis=False)
    for video, names in FRAMES.items():
        (root / 'Annotations' / video).mkdir(parents=True)
        for name, masks in zip(names, object_masks(video), strict=True):
            palette = sum(mask.astype(np.uint8) * (index + 1) for index, mask in enumerate(masks))
            picture = Image.fromarray(palette)
            picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 255, 255, 0])
            picture.save(root / 'Annotations' / video / f'{name}.png')


def write_mevis(root: Path) -> None:
    """Write frames, ``meta_expressions.json`` and ``mask_dict.json``."""
    write_frames(root)
    write_meta(root / 'meta_expressions.json', as_mevis=True)
    tracks: dict[str, Any] = {}
    for video in FRAMES:
        for masks in object_masks(video).swapaxes(0, 1):
            rles = encode_masks(masks)
            tracks[str(len(tracks))] = [rle if mask.any() else None for rle, mask in zip(rles, masks, strict=True)]
    (root / 'mask_dict.json').write_text(json.dumps(tracks))
