"""A tiny model trains on the real COCO images in each published layout, and tools/test.py scores every phrase."""

import json

import pytest
from coco_mini import GREFCOCO, PNG, REFCOCO, needs_coco_mini
from same_run import load
from tiny_refcoco import REPOSITORY, run_tool, train

CONFIG = """
_base_ = './tiny.py'
pipeline = _base_.pipeline
model = dict(mask_head=dict(base_channels=16, upsample_input=32))
train_dataloader = dict(batch_size=4, dataset=dict(_delete_=True, pipeline=pipeline, **{train!r}))
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = dict(dataset=dict(_delete_=True, pipeline=pipeline, **{test!r}))
train_cfg = dict(max_epochs={epochs})
optim_wrapper = dict(optimizer=dict(lr=1e-2), paramwise_cfg=dict(_delete_=True))
param_scheduler = dict(_delete_=True, type='WarmupCosineLR', warmup=0.05, start_factor=0.1, by_epoch=False)
"""
REFCOCO_TRAIN = {'type': 'RefCocoDataset', 'split': 'train', 'text_mode': 'random', **REFCOCO}
REFCOCO_SETS = {'type': 'RefCocoTestSets', 'name': 'refcoco', 'splits': ('val',), **REFCOCO}
PNG_TRAIN = {'type': 'PNGDataset', 'name': 'png_train', **PNG}
PNG_SET = {'type': 'PNGDataset', 'name': 'png_val', 'test_mode': True, **PNG}
GREFCOCO_TRAIN = {'type': 'GRefCocoDataset', 'split': 'train', 'skip_no_target': True, **GREFCOCO}
GREFCOCO_SETS = {
    'type': 'RefCocoTestSets',
    'dataset_type': 'GRefCocoDataset',
    'name': 'grefcoco',
    'splits': ('val', 'testA', 'testB'),
    'protocols': ('every_sentence',),
    **GREFCOCO,
}
LAYOUTS = {  # training, tests, epochs, and how many phrases each test set has
    'png': (PNG_TRAIN, PNG_SET, 16, {'png_val': 18}),
    'grefcoco': (
        GREFCOCO_TRAIN,
        GREFCOCO_SETS,
        16,
        {f'grefcoco_{split}_every_sentence': number for split, number in (('val', 3), ('testA', 2), ('testB', 2))},
    ),
    'joint': (
        {'type': 'JointDataset', 'datasets': [PNG_TRAIN, REFCOCO_TRAIN, GREFCOCO_TRAIN]},
        {'type': 'JointDataset', 'datasets': [REFCOCO_SETS, PNG_SET]},
        8,
        {'refcoco_val_first_sentence': 1, 'refcoco_val_every_sentence': 2, 'png_val': 18},
    ),
}


@needs_coco_mini
@pytest.mark.parametrize('layout', LAYOUTS)
def test_a_layout_trains_and_is_tested(config, tmp_path, monkeypatch, layout):
    monkeypatch.chdir(REPOSITORY)
    training, tests, epochs, numbers = LAYOUTS[layout]
    path = config.with_name(f'{layout}.py')
    path.write_text(CONFIG.format(train=training, test=tests, epochs=epochs))

    train(path, tmp_path / 'trained')

    checkpoint = load(tmp_path / 'trained' / f'epoch_{epochs}.pth')
    losses = checkpoint['message_hub']['log_scalars']['train/loss']['log_history']
    assert losses[-2:].mean() < 0.9 * losses[:2].mean()
    out = tmp_path / 'predictions.json'
    run_tool(
        'test', path, tmp_path / 'trained' / f'epoch_{epochs}.pth', '--work-dir', tmp_path / 'tested', '--out', out,
        '--cfg-options', f'experiment_name=real_{layout}',
    )  # fmt: skip
    found = [record['dataset_name'] for record in json.loads(out.read_text())]
    assert {name: found.count(name) for name in found} == numbers
    metrics = json.loads((tmp_path / 'tested' / 'metrics.json').read_text())
    assert {key.split('/')[0] for key in metrics} == numbers.keys()
