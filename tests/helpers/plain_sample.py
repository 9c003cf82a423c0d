"""A grounding sample without a family: two phrases, an image of zeros; and a reading of it, for tests."""

from typing import Any

import numpy as np
import torch
from PIL import Image

from flmm.apt.layout import TokenLayout
from flmm.geometry import frame_meta_data
from flmm.reading import ImageReading, Prefix
from flmm.structures import ImageView

IMAGE_TOKEN = 9
IMAGE_HEIGHT, IMAGE_WIDTH = 50, 90
GRID = (2, 3)  # units: 56 x 84 px, 6 image tokens
FRAME = frame_meta_data((IMAGE_HEIGHT, IMAGE_WIDTH), (56, 84))


def view(**changes: Any) -> ImageView:
    """The view of a dense grid, with ``changes``."""
    return ImageView(
        **{'columns': torch.arange(1, 7), 'layout': TokenLayout.dense(GRID), 'meta_data': FRAME, **changes}
    )


def fields(**changes: Any) -> dict[str, Any]:
    """The fields of a valid sample of two phrases, 'left' of two tokens and 'cat' of one, with ``changes``."""
    return {
        'input_ids': torch.tensor([1, *[IMAGE_TOKEN] * 6, 2, 3, 4, 5, 6]),
        'mask_ids': torch.tensor([-1] * 8 + [0, 0, -1, 1]),
        'lmm_inputs': {'pixel_values': torch.zeros(24, 1176)},
        'views': [view()],
        'phrases': ['left', 'cat'],
        'masks': torch.zeros(2, 56, 84, dtype=torch.bool),
        'gt_masks': torch.zeros(2, IMAGE_HEIGHT, IMAGE_WIDTH, dtype=torch.bool),
        'image': Image.fromarray(np.zeros((IMAGE_HEIGHT, IMAGE_WIDTH, 3), dtype=np.uint8)),
        'image_path': 'folder/cats.jpg',
        **changes,
    }


def reading() -> ImageReading:
    """What was read of another image with the same prompt, by one layer."""
    prefix = Prefix(
        input_ids=torch.tensor([1, *[IMAGE_TOKEN] * 6, 2]),
        keys=[torch.zeros(1, 2, 8, 4)],
        values=[torch.zeros(1, 2, 8, 4)],
        states=[None],
        next_position=8,
    )
    return ImageReading(
        prefix=prefix,
        image_embedding={'image': torch.zeros(4, 2, 2)},
        image=Image.new('RGB', (IMAGE_WIDTH, IMAGE_HEIGHT)),
        layouts=[TokenLayout.dense(GRID)],
        made_by={'LMM': 'a', 'image encoder of SAM': 'b'},
    )
