"""Datasets whose items are given, and checks of them."""

import numpy as np
import pytest
from given_dataset import Given
from PIL import Image
from tiny_models import tiny_processor

from flmm.data_check import ImageChecks, find_sources
from flmm.datasets import QwenImageProcessorWrapper


@pytest.fixture(scope='session')
def wrapper():
    return QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor())


@pytest.fixture(scope='session')
def prompt_length(wrapper):
    """How many tokens of a sequence are neither of the image nor of phrases."""
    ids = wrapper.preprocess(Image.new('RGB', (56, 56)), prompt='Where?').input_ids
    return int((ids != wrapper.image_token_id).sum())


@pytest.fixture
def picture(tmp_path):
    """Write a picture of random pixels; return its path."""

    def write(name='a.png', *, height=60, width=80, **options):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name, **options)
        return str(tmp_path / name)

    return write


@pytest.fixture
def dataset_config(wrapper):
    """Return the config of a dataset of items."""

    def config(items, *, name='given', text_mode='original', loading=None, masks=None, **to_sample):
        pipeline = [
            {'type': 'flmm.PILLoadImageFromFile', **(loading or {})},
            {'type': 'flmm.LoadMasks', **(masks or {})},
            {'type': 'flmm.RefCOCO2PNG', 'image_processor': wrapper, 'prompt': 'Where?', **to_sample},
        ]
        return {'type': Given, 'items': items, 'name': name, 'text_mode': text_mode, 'pipeline': pipeline}

    return config


@pytest.fixture
def sources(dataset_config):
    """Build a val dataset of items."""

    def build(*items, **settings):
        config = {'val_dataloader': {'dataset': dataset_config(list(items), **settings)}}
        found, problems = find_sources(config, ['val'])
        assert problems == []
        return found

    return build


@pytest.fixture
def findings(sources):
    """Check the first image of a dataset of items."""

    def check(*items, headers_only=False, **settings):
        return ImageChecks(sources(*items, **settings), headers_only=headers_only)[0]

    return check
