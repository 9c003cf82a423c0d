"""Pictures of two sets of predictions: what each finds, beside the truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from flmm.files import path_inside
from flmm.images import read_rgb
from flmm.rle import decode_masks
from flmm.scoring import ComparedPhrase
from flmm.visualization.figures import LONGEST_SIDE, PhrasePage, PhraseRow, shrunk_mask


def compared_page(
    compared: Sequence[ComparedPhrase], *, names: tuple[str, str], images: str | Path | None, orientation: str
) -> PhrasePage:
    """Take of compared phrases what a page shows (:func:`flmm.visualization.draw_page`): image, both masks, truth.

    Args:
        compared: a row of the page for each.
        names: What the two sets of predictions are called; titles of their columns.
        images: folder that the names of images are below; None takes the names as paths.
        orientation: What is done with images that are stored turned, as in :func:`flmm.images.read_rgb`.

    Raises:
        ValueError: an image is absent or cannot be read, leads out of the folder, or has another size than its masks.
            The message names the file.
    """
    rows = []
    for phrase in compared:
        path = phrase.truth.image if images is None else path_inside(images, phrase.truth.image)
        image = read_rgb(path, name=str(path), orientation=orientation)
        masks = dict(zip((*names, 'truth'), (*phrase.masks, phrase.truth.mask), strict=True))
        absent = {title for title, mask in masks.items() if mask is None}
        for title, mask in masks.items():
            bitmap = np.zeros((image.height, image.width), dtype=bool) if mask is None else decode_masks([mask])[0]
            if bitmap.shape != (image.height, image.width):
                raise ValueError(
                    f'image {str(path)!r} has {image.height}x{image.width} px (height x width), its masks '
                    f'{bitmap.shape[0]}x{bitmap.shape[1]} ({phrase.truth.where}); take the picture that was annotated'
                )
            masks[title] = torch.from_numpy(bitmap)
        if not masks['truth'].any():
            absent.add('truth')
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        rows.append(
            PhraseRow(
                phrase=phrase.truth.phrase,
                image=image,
                heat=None,
                masks={title: shrunk_mask(mask, (image.height, image.width)) for title, mask in masks.items()},
                ious={} if 'truth' in absent else dict(zip(names, phrase.ious, strict=True)),
                absent=frozenset(absent),
            )
        )
    return PhrasePage(rows=rows, num_left_out=0)
