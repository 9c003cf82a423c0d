"""What was found, as dicts for JSON and as files."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from flmm.plain_text import file_name
from flmm.rle import rle_area, rle_box

if TYPE_CHECKING:
    from flmm.grounder.grounding import Grounding

MASK_FILE = re.compile(r'\d+_.+\.png')


def described_phrases(found: 'Grounding') -> list[dict[str, Any]]:
    """Return what :meth:`flmm.grounder.Grounding.to_dict` says of each phrase."""
    rles = found.to_rle()
    areas = [rle_area(rle) for rle in rles]
    judged = found.exists is not None
    existence = found.existence.tolist() if judged else [None] * len(found)
    exists = found.exists.tolist() if judged else [None] * len(found)
    rows = []
    for index, score in enumerate(found.scores.tolist()):
        is_there = exists[index] if judged else areas[index] > 0
        rows.append(
            {
                'phrase': found.phrases[index],
                'score': score,
                'existence': existence[index],
                'exists': exists[index],
                'area': areas[index] if is_there else None,
                'bbox': rle_box(rles[index]) if areas[index] > 0 else None,
                'segmentation': rles[index] if is_there else None,
            }
        )
    return rows


def save_masks(found: 'Grounding', folder: str | os.PathLike, *, overwrite: bool) -> list[Path]:
    """Do what :meth:`flmm.grounder.Grounding.save_png` says."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f'folder {str(folder)!r} cannot be made ({error}); choose another') from error
    earlier = mask_files(folder)
    if earlier and not overwrite:
        raise ValueError(
            f'folder {str(folder)!r} has masks already, such as {earlier[0].name!r}; choose another, or set overwrite'
        )
    for path in earlier:
        path.unlink()
    digits = len(str(len(found)))  # so that names are in the order of the phrases
    paths = [folder / f'{number:0{digits}}_{file_name(text)}.png' for number, text in enumerate(found.phrases, 1)]
    masks = (mask for chunk in found.mask_chunks() for mask in chunk)
    for path, mask in zip(paths, masks, strict=True):
        Image.fromarray(mask.cpu().numpy()).save(path)  # Pillow makes bool arrays one bit deep
    return paths


def mask_files(folder: Path) -> list[Path]:
    """List the files that :func:`save_masks` has written to a folder, and others with such names."""
    return sorted(path for path in folder.glob('*.png') if MASK_FILE.fullmatch(path.name))
