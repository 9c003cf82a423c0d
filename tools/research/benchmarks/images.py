"""The image that a benchmark reads: a photo, or else a synthetic scene."""

import numpy as np
from PIL import Image

from flmm.images import read_rgb
from flmm.shapes import DIFFICULTY, render_scene, sample_scene


def benchmark_image(path: str | None, *, size: tuple[int, int]) -> Image.Image:
    """Read a photo, or draw a scene, and resize it to ``size`` (width, height)."""
    if path is not None:
        image = read_rgb(path, name=path, orientation='apply')
    else:
        rng = np.random.default_rng(0)
        pixels, _ = render_scene(sample_scene(rng, DIFFICULTY['hard']), rng)
        image = Image.fromarray(pixels)
    return image.resize(size, Image.Resampling.BICUBIC)
