"""Shared by the tests of the data path: the real COCO image beside the checkout, and a wrapped tiny processor."""

from pathlib import Path

import pytest
from tiny_models import tiny_processor

from flmm.datasets import QwenImageProcessorWrapper

COCO_MINI = Path(__file__).parents[3] / 'shared' / 'coco_mini'


@pytest.fixture(scope='session')
def coco_mini():
    """RefCocoDataset's arguments for the real COCO image with its real polygons."""
    if not COCO_MINI.is_dir():
        pytest.skip('the folder coco_mini is not beside the checkout')
    return {
        'data_root': str(COCO_MINI),
        'data_prefix': {'img_path': 'train2014/'},
        'ann_file': 'refcoco/instances.json',
        'split_file': 'refcoco/refs(unc).p',
    }


@pytest.fixture(scope='session')
def wrapper():
    return QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor())
