"""Stored features of PNG's layout and of several datasets as one."""

import json
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny_refcoco import REPOSITORY, run_tool

from flmm.registry import DATASETS
from flmm.shapes import DIFFICULTY, generate_split, write_png

CONFIG = """
_base_ = './tiny.py'
png = dict(
    type='PNGDataset',
    data_root={png!r},
    ann_file='annotations/png_coco_val.json',
    panoptic_file='annotations/panoptic_val.json',
    data_prefix=dict(img_path='images/', panoptic_path='annotations/panoptic_val/'),
)
joint = dict(type='JointDataset', datasets=[png, _base_.val_dataloader.dataset], pipeline=_base_.pipeline)
train_dataloader = test_dataloader = None
val_dataloader = dict(
    dataset=dict(
        _delete_=True, type='CachedFeatures', model=_base_.model, dtype='float32', folder={folder!r}, dataset=joint
    )
)
"""


@pytest.fixture(scope='module')
def settings(workspace):
    """The config of joint data's stored features; they are stored."""
    root = workspace.parent
    write_png(root / 'png', 'val', generate_split(seed=0, split='val', num_images=2, config=DIFFICULTY['easy']))
    path = root / 'joint.py'
    path.write_text(CONFIG.format(png=str(root / 'png'), folder=str(root / 'joint_features')))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        run_tool('cache_features', path, '--num-workers', '0')
    init_default_scope('flmm')
    return Config.fromfile(path).val_dataloader.dataset


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    init_default_scope('flmm')


def test_what_is_read_is_what_the_parts_give(settings):
    stored, source = DATASETS.build(settings), DATASETS.build(settings.dataset)

    assert len(stored) == len(source) == 3
    for item in range(3):
        found, expected = stored[item], source[item]
        for name in ('input_ids', 'mask_ids', 'masks', 'gt_masks'):
            assert torch.equal(getattr(found, name), getattr(expected, name)), name
        for name in ('phrases', 'phrase_infos', 'image_path', 'dataset_name', 'sample_idx'):
            assert getattr(found, name) == getattr(expected, name), name
    assert [stored[item].dataset_name for item in range(3)] == ['png', 'png', 'shapes_val_first_sentence']
    assert stored.names == source.names == ['png', 'shapes_val_first_sentence']
    assert {info.plural for item in range(2) for info in stored[item].phrase_infos} <= {True, False}


@pytest.mark.parametrize(('key', 'name'), [('panoptic_file', 'panoptic_val'), ('ann_file', 'png_coco_val')])
def test_changed_annotations_are_noticed(settings, key, name):
    path = settings.dataset.datasets[0].data_root + f'/annotations/{name}.json'
    with open(path, encoding='utf-8') as file:
        content = file.read()
    with open(path, 'w', encoding='utf-8') as file:
        file.write(json.dumps(json.loads(content), indent=1))
    try:
        with pytest.raises(ValueError, match=re.escape(f'{path!r} (dataset.datasets.0.{key})')):
            DATASETS.build(settings)
    finally:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(content)
