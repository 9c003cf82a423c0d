"""What was found in a video, as a dict for JSON and as files."""

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from flmm.atomic_write import open_atomic
from flmm.grounder.outputs import described_phrases
from flmm.plain_text import file_name

if TYPE_CHECKING:
    from flmm.grounder.video_grounding import VideoGrounding

PHRASE_FOLDER = re.compile(r'\d+_.+')
OVER_TIME = {
    'score': 'scores',
    'existence': 'existence',
    'exists': 'exists',
    'area': 'areas',
    'bbox': 'bboxes',
    'segmentation': 'segmentations',
}
"""How YouTube-VIS calls the values of all frames, by what COCO calls that of one."""


def described_video(found: 'VideoGrounding') -> dict[str, Any]:
    """Do what :meth:`flmm.grounder.VideoGrounding.to_dict` says."""
    by_frame = [described_phrases(frame) for frame in found]
    image = found[0].image
    phrases = []
    for rows in zip(*by_frame, strict=True):
        over_time = {plural: [row[name] for row in rows] for name, plural in OVER_TIME.items()}
        phrases.append({'phrase': rows[0]['phrase'], **over_time})
    return {
        'video': found.name,
        'width': image.width,
        'height': image.height,
        'fps': found.fps,
        'frames': found.frame_names,
        'phrases': phrases,
    }


def save_video_masks(found: 'VideoGrounding', folder: str | os.PathLike, *, overwrite: bool) -> list[Path]:
    """Do what :meth:`flmm.grounder.VideoGrounding.save_png` says."""
    folder = Path(folder)
    earlier = mask_folders(folder)
    if earlier and not overwrite:
        raise ValueError(
            f'folder {str(folder)!r} has masks already, such as {earlier[0].name!r}; choose another, or set overwrite'
        )
    for path in earlier:
        shutil.rmtree(path)
    digits = len(str(len(found.phrases)))  # so that names are in the order of the phrases
    paths = [folder / f'{number:0{digits}}_{file_name(text)}' for number, text in enumerate(found.phrases, 1)]
    try:
        for path in paths:
            path.mkdir(parents=True)
    except OSError as error:
        raise ValueError(f'folder {str(folder)!r} cannot be made ({error}); choose another') from error
    for name, frame in zip(found.frame_names, found, strict=True):
        masks = (mask for chunk in frame.mask_chunks() for mask in chunk)
        for path, mask in zip(paths, masks, strict=True):
            with open_atomic(path / f'{file_name(name)}.png') as file:
                Image.fromarray(mask.cpu().numpy()).save(file, format='PNG')  # Pillow makes bool arrays one bit deep
    return paths


def mask_folders(folder: Path) -> list[Path]:
    """List the folders that :func:`save_video_masks` has written to a folder: such names, and PNGs alone in them."""
    if not folder.is_dir():
        return []
    named = (path for path in folder.iterdir() if PHRASE_FOLDER.fullmatch(path.name) and path.is_dir())
    return sorted(path for path in named if all(file.suffix == '.png' for file in path.iterdir()))
