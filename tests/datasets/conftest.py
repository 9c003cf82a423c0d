"""Shared by the tests of the data path: the real COCO image beside the checkout, a wrapped tiny processor, the log."""

from pathlib import Path

import pytest
from mmengine.logging import MMLogger
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


@pytest.fixture
def lines(caplog):
    """What is logged, by line. mmengine's loggers don't hand on to the root logger, which caplog reads."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: [record.getMessage() for record in caplog.records]
    logger.removeHandler(caplog.handler)
