"""An image at the size at which a Qwen-VL model reads it."""

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from transformers import Qwen2VLImageProcessor
from transformers.image_utils import SizeDict


def resize_image(
    image: Image.Image, *, processor: Qwen2VLImageProcessor, size: Mapping[str, int], name: str
) -> torch.Tensor:
    """Bring an image to its processed size, [1, 3, H, W] uint8.

    Args:
        image: the image as RGB.
        processor: the stock image processor, or its subclass with adaptive patches.
        size: ``shortest_edge`` and ``longest_edge``, the fewest and most px of the whole image.
        name: what the error calls the image.

    Raises:
        ValueError: an aspect ratio over 200.
    """
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    bounds = SizeDict(shortest_edge=size['shortest_edge'], longest_edge=size['longest_edge'])
    factor = processor.patch_size * processor.merge_size
    try:
        return processor.resize(pixels, bounds, processor.resample, factor=factor)
    except ValueError as error:
        raise ValueError(f'image {name!r}: {error}') from error
