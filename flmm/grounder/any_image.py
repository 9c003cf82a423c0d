"""Whatever a caller has for an image, as RGB."""

import io
import os

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flmm.images import load_pixels, read_rgb, to_rgb

AnyImage = str | os.PathLike | bytes | Image.Image | np.ndarray | Tensor


def any_image(image: AnyImage) -> tuple[Image.Image, str]:
    """Return an image as RGB, and a name for messages.

    Args:
        image: a file, or the bytes of one, which is turned upright as its EXIF orientation says; or pixels, which are
            taken as they lie: a PIL image, a uint8 array [IH, IW] or [IH, IW, 3] (RGB), or a uint8 tensor [3, IH, IW]
            (RGB).

    Raises:
        ValueError: something else, a file that :func:`flmm.images.read_rgb` cannot read, or an image without pixels.
    """
    if isinstance(image, (str, os.PathLike)):
        name = os.fsdecode(image)
        return read_rgb(image, name=name, orientation='apply'), name
    if isinstance(image, bytes):
        return read_rgb(io.BytesIO(image), name='image', orientation='apply'), 'image'
    if isinstance(image, Image.Image):
        return to_rgb(load_pixels(image, name='image')), 'image'
    return to_rgb(_from_pixels(image)), 'image'


def _from_pixels(pixels: np.ndarray | Tensor) -> Image.Image:
    if isinstance(pixels, Tensor):
        if pixels.ndim != 3 or pixels.shape[0] != 3 or pixels.dtype != torch.uint8:
            raise ValueError(
                f'image is a {pixels.dtype} tensor {tuple(pixels.shape)}, expected uint8 [3, height, width]'
            )
        pixels = pixels.permute(1, 2, 0).cpu().numpy()
    if not isinstance(pixels, np.ndarray):
        raise ValueError(
            f'image is a {type(pixels).__name__}, expected a path, bytes of a file, a PIL image, '
            'a uint8 array or a uint8 tensor'
        )
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(
            f'image is a {pixels.dtype} array {pixels.shape}, expected uint8 [height, width] or [height, width, 3]'
        )
    return Image.fromarray(np.ascontiguousarray(pixels))
