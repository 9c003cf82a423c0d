"""Grounding samples of random pixels, made by the real pipeline, for tests."""

import copy
import math
from dataclasses import replace

import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks
from PIL import Image
from tiny_models import PATCH_SIZES, tiny_processor

from flmm.apt import TokenLayout
from flmm.datasets import QwenImageProcessorWrapper, RefCOCO2PNG
from flmm.structures import GroundingSample


def tiny_sample(
    phrases: list[str],
    *,
    size: tuple[int, int] = (100, 160),
    family: str = 'qwen2_5_vl',
    seed: int = 0,
    independent: bool = True,
) -> GroundingSample:
    """A sample of an image of ``size`` (height, width) in which every phrase has a random rectangle for its mask."""
    rng = np.random.default_rng(seed)
    height, width = size
    masks = np.zeros((len(phrases), height, width), dtype=np.uint8)
    for mask in masks:
        top, left = rng.integers(height // 2), rng.integers(width // 2)
        mask[top : top + height // 3, left : left + width // 3] = 1
    transform = RefCOCO2PNG(
        image_processor=QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor(family)),
        prompt='What is it?',
        independent=independent,
    )
    return transform.transform(
        {
            'img_path': f'random_{seed}.jpg',
            'image': Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)),
            'text': phrases,
            'gt_masks': BitmapMasks(masks, height, width),
        }
    )


def tiny_batch(family: str = 'qwen2_5_vl', *, independent: bool = True) -> list[GroundingSample]:
    """Three samples that differ in image size, number of phrases and sequence length; grids are those of any family."""
    batch = [
        (['a', 'some blue circle'], (100, 160)),
        (['red', 'the other one', 'b'], (90, 90)),
        (['cat'], (300, 60)),
    ]
    patch = PATCH_SIZES[family]
    return [
        tiny_sample(
            phrases,
            size=(height * patch // 14, width * patch // 14),
            family=family,
            seed=seed,
            independent=independent,
        )
        for seed, (phrases, (height, width)) in enumerate(batch, start=1)
    ]


def stock_inputs(sample: GroundingSample) -> dict[str, torch.Tensor]:
    """What the stock model is called with for one sample."""
    return {
        'input_ids': sample.input_ids[None],
        **sample.lmm_inputs,
        'mm_token_type_ids': is_image(sample).int()[None],
    }


def is_image(sample: GroundingSample) -> torch.Tensor:
    """[S] bool: the image tokens."""
    found = torch.zeros(len(sample.input_ids), dtype=torch.bool)
    for view in sample.views:
        found[view.columns] = True
    return found


def with_coarse(sample: GroundingSample, logits: torch.Tensor) -> GroundingSample:
    """The same predicted sample with other coarse logits on the mask head's grid."""
    return sample.with_outputs(coarse=replace(sample.coarse, small=logits))


def pruned(sample: GroundingSample, layout: TokenLayout) -> GroundingSample:
    """The same sample read by ``layout``: written plainly from the dense one, token by token, without flmm's code."""
    image, patch = processed_image(sample), patch_size(sample)
    rows = []
    for top, left, size in layout.tokens.tolist():
        for i in range(2):
            for j in range(2):
                y, x = patch * (2 * top + size * i), patch * (2 * left + size * j)
                square = image[:, y : y + patch * size, x : x + patch * size]
                frame = square.unflatten(2, (patch, size)).unflatten(1, (patch, size)).mean(dim=(2, 4))
                rows.append(torch.stack([frame, frame], dim=1).flatten())
    image = is_image(sample)
    keep = ~image | (image.cumsum(0) <= len(layout))
    (view,) = sample.views
    return replace(
        sample,
        input_ids=sample.input_ids[keep],
        mask_ids=sample.mask_ids[keep],
        prompt_length=int(keep[: sample.prompt_length].sum()),
        lmm_inputs={**sample.lmm_inputs, 'pixel_values': torch.stack(rows)},
        views=[replace(view, columns=view.columns[: len(layout)], layout=layout)],
    )


def processed_image(sample: GroundingSample) -> torch.Tensor:
    """[3, H, W]: the normalized pixels that a dense sample's patches hold."""
    (h, w), patch = sample.grid_size, patch_size(sample)
    image = torch.zeros(3, 2 * patch * h, 2 * patch * w)
    for index, row in enumerate(sample.lmm_inputs['pixel_values']):
        unit, within = divmod(index, 4)
        y, x = patch * (2 * (unit // w) + within // 2), patch * (2 * (unit % w) + within % 2)
        image[:, y : y + patch, x : x + patch] = row.reshape(3, 2, patch, patch)[:, 0]
    return image


def patch_size(sample: GroundingSample) -> int:
    """Side in px of the patches of a sample: a row holds one of three colours in two frames."""
    return math.isqrt(sample.lmm_inputs['pixel_values'].shape[1] // 6)


def with_absent(sample: GroundingSample, *indices: int) -> GroundingSample:
    """Say that phrases have no target."""
    sample = copy.copy(sample)
    sample.masks, sample.gt_masks = sample.masks.clone(), sample.gt_masks.clone()
    sample.masks[list(indices)], sample.gt_masks[list(indices)] = False, False
    return sample
