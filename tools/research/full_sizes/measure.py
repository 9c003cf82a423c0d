"""One published LMM at full size: built, trained for a step, asked for a prediction and for a pruned one."""

import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from benchmarks.images import benchmark_image
from benchmarks.measure import environment
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from PIL import Image

from flmm.datasets import RefCOCO2PNG
from flmm.families import FAMILIES
from flmm.models import FrozenLMM
from flmm.models.published_lmms import published_config
from flmm.registry import MODELS, TRANSFORMS
from flmm.structures import GroundingSample
from full_sizes.checks import SeenMaps, check_gradients, check_maps, watched_maps
from full_sizes.memory import estimated_gb, peak_gb
from full_sizes.processors import published_processor
from full_sizes.random_lmm import random_lmm

BASE = Path(__file__).parents[3] / 'configs' / '_base_'
MODEL = BASE / 'models' / 'frozen_lmm_sam_l.py'
SIZE = (640, 480)
"""Width and height of the image in px."""
PHRASES = ['the red circle on the left', 'a large blue square', 'the green star']
PRUNED = {'patch_selection_method': 'budget', 'alpha': 0.3}
Result = TypeVar('Result')


def measure(name: str, *, layers: int | None = None) -> dict[str, Any]:
    """Measure and check one model in this process.

    Args:
        name: of a file of configs/_base_/lmms.
        layers: at most so many layers of text and of each vision tower; None for all.

    Raises:
        CheckError: something that must hold does not.
    """
    libraries = peak_gb()
    torch.manual_seed(0)
    lmm_config = Config.fromfile(BASE / 'lmms' / f'{name}.py')
    checkpoint = lmm_config.lmm.name_or_path
    processor = published_processor(published_config(checkpoint).model_type)
    config = published_config(checkpoint, image_token_id=processor.image_token_id, depth=layers)
    image_processor = {**lmm_config.image_processor, 'pretrained_model_name_or_path': processor}
    with DefaultScope.overwrite_default_scope('flmm'):
        model, build_s = timed(lambda: build_model(config))
        wrapper = TRANSFORMS.build(image_processor)
        sample = make_sample(wrapper)
        gradients, step_s = timed(lambda: train_step(model, sample))
    seen, prediction_s = timed(lambda: predict(model, sample))
    sums = check_maps(model, sample, seen)
    pruned = None
    if 'patch_selection_method' in inspect.signature(type(wrapper).__init__).parameters:
        fewer = make_sample(TRANSFORMS.build({**image_processor, **PRUNED}))
        seen, pruned_s = timed(lambda: predict(model, fewer))
        pruned = {
            'image_tokens': num_image_tokens(fewer),
            'prediction_s': pruned_s,
            'attention': check_maps(model, fewer, seen),
        }
    memory = estimated_gb(model, sample, libraries=libraries)
    return {
        'model': name,
        'checkpoint': checkpoint,
        'layers': layers or 'all',
        'image': list(SIZE),
        'lmm_parameters_1e9': sum(parameter.numel() for parameter in model.lmm.parameters()) / 1e9,
        'image_tokens': num_image_tokens(sample),
        'tokens': len(sample.input_ids),
        'channels': model.num_views * sum(map(len, model.heads.values())),
        'build_s': build_s,
        'step_s': step_s,
        'prediction_s': prediction_s,
        'pruned': pruned,
        'gradients': gradients,
        'attention': sums,
        'peak_gb': peak_gb(),
        'estimated_gb': memory.pop('all'),
        'estimated_parts_gb': memory,
        'environment': environment(torch.device('cpu')),
    }


def build_model(config: Any) -> FrozenLMM:
    """Build F-LMM's model on an LMM of this config, with SAM ViT-L, all weights random."""
    settings = Config.fromfile(MODEL).model
    settings.sam.sam.checkpoint = None
    frozen_lmm = FAMILIES[config.model_type].model.rpartition('.')[2]
    return MODELS.build({**settings, 'type': frozen_lmm, 'lmm': random_lmm(config)})


def make_sample(wrapper: Any) -> GroundingSample:
    """Make a sample of the synthetic image with three phrases; the mask of each is a third of the image."""
    image: Image.Image = benchmark_image(None, size=SIZE)
    masks = np.zeros((len(PHRASES), image.height, image.width), dtype=np.uint8)
    for i, mask in enumerate(masks):
        mask[:, i * image.width // len(masks) : (i + 1) * image.width // len(masks)] = 1
    item = {
        'img_path': 'scene',
        'image': image,
        'text': PHRASES,
        'gt_masks': BitmapMasks(masks, image.height, image.width),
    }
    return RefCOCO2PNG(image_processor=wrapper, prompt='Describe the image.').transform(item)


def train_step(model: FrozenLMM, sample: GroundingSample) -> dict[str, int]:
    """Take a step of the schedule's AdamW, as training does, and check the gradients on the way."""
    optimizer = build_optim_wrapper(model, Config.fromfile(BASE / 'schedules' / 'adamw_8e.py').optim_wrapper)
    optimizer.backward(sum(model.train()([sample], mode='loss').values()))
    found = check_gradients(model)
    optimizer.step()
    return found


def predict(model: FrozenLMM, sample: GroundingSample) -> SeenMaps:
    """Predict, which refuses what is not finite, and keep the attention that was read."""
    with watched_maps(model) as seen:
        model.eval()([sample], mode='predict')
    return seen


def num_image_tokens(sample: GroundingSample) -> int:
    """Count the tokens of all views."""
    return sum(len(view.columns) for view in sample.views)


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    """Return what a call returns, and how many seconds it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start
