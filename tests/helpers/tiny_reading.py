"""A Grounder of tiny parts, and pictures to read, for tests."""

from typing import Any

import numpy as np
from PIL import Image
from tiny_grounder import tiny_grounder
from tiny_models import tiny_processor

from flmm.datasets import QwenImageProcessorWrapper, RefCOCO2PNG
from flmm.grounder import Grounder
from flmm.models import FrozenLMM

PHRASES = ['a cat', 'dog', 'the red one', 'x', 'it is there']


def build_reader(model: FrozenLMM | None = None, **to_sample: Any) -> Grounder:
    """A grounder over ``model``, by default a tiny Qwen2.5-VL; ``to_sample`` are settings of RefCOCO2PNG."""
    wrapper = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor())
    return Grounder(
        model=model or tiny_grounder(),
        to_sample=RefCOCO2PNG(image_processor=wrapper, prompt='Look.', **to_sample),
    )


def photo(size: tuple[int, int] = (90, 60), seed: int = 0) -> Image.Image:
    """Random pixels; ``size`` is (height, width)."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))
