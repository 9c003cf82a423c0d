"""One published LMM at full size: built, trained for a step, asked for a prediction and for a pruned one."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from benchmarks.images import benchmark_image
from benchmarks.measure import environment
from benchmarks.samples import SampleMaker, num_image_tokens
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from flmm.models import FrozenLMM
from flmm.registry import MODELS, TRANSFORMS
from flmm.structures import GroundingSample
from full_sizes.checks import SeenMaps, check_gradients, check_maps, watched_maps
from full_sizes.lmms import BASE, published_lmm, random_lmm, registered
from full_sizes.memory import estimated_gb, peak_gb

MODEL = BASE / 'models' / 'frozen_lmm_sam_l.py'
SIZE = (640, 480)
"""Width and height of the image in px."""
NUM_PHRASES = 3
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
    lmm = published_lmm(name, layers=layers)
    sample = make_sample(lmm.image_processor)
    model, build_s = timed(lambda: build_model(lmm.config))
    gradients, step_s = timed(lambda: train_step(model, sample))
    seen, prediction_s = timed(lambda: predict(model, sample))
    attention = check_maps(model, sample, seen)
    memory = estimated_gb(model, sample, libraries=libraries)
    return {
        'model': name,
        'checkpoint': lmm.checkpoint,
        'layers': layers or 'all',
        'image': list(SIZE),
        'lmm_parameters_1e9': sum(parameter.numel() for parameter in model.lmm.parameters()) / 1e9,
        'image_tokens': num_image_tokens(sample),
        'tokens': len(sample.input_ids),
        'channels': model.num_views * sum(map(len, model.heads.values())),
        'build_s': build_s,
        'step_s': step_s,
        'prediction_s': prediction_s,
        'pruned': predict_pruned(model, lmm.image_processor | PRUNED) if lmm.prunes else None,
        'gradients': gradients,
        'attention': attention,
        'peak_gb': peak_gb(),
        'estimated_gb': memory.pop('all'),
        'estimated_parts_gb': memory,
        'environment': environment(torch.device('cpu')),
    }


def make_sample(image_processor: dict[str, Any]) -> GroundingSample:
    """Make a sample of the synthetic image."""
    maker = SampleMaker(
        benchmark_image(None, size=SIZE), num_phrases=NUM_PHRASES, image_processor=TRANSFORMS.build(image_processor)
    )
    return maker()


def build_model(config: Any) -> FrozenLMM:
    """Build F-LMM's model on an LMM of this config, with SAM ViT-L, all weights random."""
    settings = Config.fromfile(MODEL).model
    settings.sam.sam.checkpoint = None
    with DefaultScope.overwrite_default_scope('flmm'):
        return MODELS.build({**settings, 'type': registered(config.model_type, 'model'), 'lmm': random_lmm(config)})


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


def predict_pruned(model: FrozenLMM, image_processor: dict[str, Any]) -> dict[str, Any]:
    """Predict from fewer image tokens, and check the attention to them."""
    sample = make_sample(image_processor)
    seen, seconds = timed(lambda: predict(model, sample))
    attention = check_maps(model, sample, seen)
    return {'image_tokens': num_image_tokens(sample), 'prediction_s': seconds, 'attention': attention}


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    """Return what a call returns, and how many seconds it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start
