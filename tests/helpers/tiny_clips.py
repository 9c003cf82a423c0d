"""Clips of random frames, made by the real transform, for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tiny_models import tiny_processor

from flmm.clip_sample import ClipSample
from flmm.datasets import ClipToSample, QwenImageProcessorWrapper, RefCOCO2PNG

UNITS = {'qwen2_vl': 28, 'qwen2_5_vl': 28, 'qwen3_vl': 32, 'qwen3_5': 32}
"""Side of a unit in px."""


def tiny_item(
    folder: Path,
    phrases: list[str],
    *,
    num_frames: int = 6,
    size: tuple[int, int] = (60, 90),
    fps: float = 2.0,
    truth: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """What ClipToSample takes: frames of ``size`` (height, width) in ``folder``, each phrase a rectangle that moves."""
    rng = np.random.default_rng(seed)
    height, width = size
    paths = []
    for number in range(num_frames):
        path = folder / f'{number:05d}.png'
        Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
        paths.append(str(path))
    masks = torch.zeros(num_frames, len(phrases), height, width, dtype=torch.bool)
    for number in range(num_frames):
        for phrase in range(len(phrases)):
            masks[number, phrase, 10 + 4 * phrase :, 5 * number : 5 * number + 20] = True
    return {
        'video_path': str(folder),
        'frame_paths': paths,
        'frame_names': [Path(path).stem for path in paths],
        'fps': fps,
        'text': phrases,
        'gt_masks': masks if truth else None,
    }


def clip_transform(family: str = 'qwen2_5_vl', *, prompt: str = 'Look.', **settings: Any) -> ClipToSample:
    """The transform over the processor of a tiny model; a frame has about six units."""
    area = 6 * UNITS[family] ** 2
    wrapper = QwenImageProcessorWrapper(
        pretrained_model_name_or_path=tiny_processor(family), min_pixels=area, max_pixels=area
    )
    return ClipToSample(to_sample=RefCOCO2PNG(image_processor=wrapper, prompt=prompt), **settings)


def tiny_clip(
    folder: Path, phrases: list[str], *, family: str = 'qwen2_5_vl', read_as: str = 'video', **item: Any
) -> ClipSample:
    """A clip of the item that :func:`tiny_item` makes."""
    return clip_transform(family, read_as=read_as).transform(tiny_item(folder, phrases, **item))
