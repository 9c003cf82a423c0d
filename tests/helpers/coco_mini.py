"""Where the real COCO images lie, beside the checkout, in the layouts of RefCOCO, PNG and gRefCOCO."""

import json
from pathlib import Path

import pytest

COCO_MINI = Path(__file__).parents[3] / 'shared' / 'coco_mini'
needs_coco_mini = pytest.mark.skipif(not COCO_MINI.is_dir(), reason='the folder coco_mini is not beside the checkout')
REFCOCO = {
    'data_root': str(COCO_MINI),
    'data_prefix': {'img_path': 'train2014/'},
    'ann_file': 'refcoco/instances.json',
    'split_file': 'refcoco/refs(unc).p',
}
GREFCOCO = {
    'data_root': str(COCO_MINI),
    'data_prefix': {'img_path': 'val2017/'},
    'ann_file': 'grefcoco/instances.json',
    'split_file': 'grefcoco/grefs(unc).json',
}
PNG = {
    'data_root': str(COCO_MINI),
    'data_prefix': {'img_path': 'val2017/', 'panoptic_path': 'annotations/panoptic_val2017/'},
    'ann_file': 'annotations/png_coco_val2017.json',
    'panoptic_file': 'annotations/panoptic_val2017.json',
}
"""Arguments of the datasets."""


def read(name):
    """One of its JSON files."""
    return json.loads((COCO_MINI / name).read_text())
