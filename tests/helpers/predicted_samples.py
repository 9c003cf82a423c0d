"""Samples with given truths and predictions, for tests of what comes after the model."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flmm.apt.layout import TokenLayout
from flmm.geometry import frame_meta_data
from flmm.mask_logits import MaskLogits
from flmm.structures import GroundingSample, ImageView, PhraseInfo

IMAGE_TOKEN = 7


def predicted_sample(
    truths: Tensor,
    coarse: Tensor,
    refined: Tensor,
    *,
    kinds: list[str] | None = None,
    dataset_name: str = 'val',
    sample_idx: int = 0,
    attentions: Tensor | None = None,
    image_path: str = 'folder/photo.jpg',
) -> GroundingSample:
    """Truths [M, IH, IW] bool, and predicted masks of that shape: bool, turned into logits of -1 and 1, or logits."""
    num_masks, height, width = truths.shape
    pixels = np.random.default_rng(sample_idx).integers(0, 256, (height, width, 3), dtype=np.uint8)
    coarse, refined = (masks.float() * 2 - 1 if masks.dtype == torch.bool else masks for masks in (coarse, refined))
    return GroundingSample(
        input_ids=torch.tensor([1, IMAGE_TOKEN, *range(10, 10 + num_masks)]),
        mask_ids=torch.tensor([-1, -1, *range(num_masks)]),
        lmm_inputs={'pixel_values': torch.zeros(4, 1176), 'image_grid_thw': torch.tensor([[1, 2, 2]])},
        views=[
            ImageView(
                columns=torch.tensor([1]),
                layout=TokenLayout.dense((1, 1)),
                meta_data=frame_meta_data((height, width), (28, 28)),
            )
        ],
        phrases=[f'phrase {index}' for index in range(num_masks)],
        masks=torch.zeros(num_masks, 28, 28, dtype=torch.bool),
        gt_masks=truths,
        image=Image.fromarray(pixels),
        image_path=image_path,
        phrase_infos=None if kinds is None else [PhraseInfo(kind=kind) for kind in kinds],
        dataset_name=dataset_name,
        sample_idx=sample_idx,
        mask_attentions=attentions,
        coarse=MaskLogits.from_image(coarse),
        refined=MaskLogits.from_image(refined),
        sam_scores=torch.zeros(num_masks),
    )


def random_masks(num_masks: int, height: int, width: int, *, seed: int = 0) -> Tensor:
    """[M, height, width] bool, a third of it True."""
    return torch.rand(num_masks, height, width, generator=torch.Generator().manual_seed(seed)) < 1 / 3
