"""Stored features: what is read is what was computed, and stores of anything else are refused."""

import json
import random
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import set_random_seed
from prediction_lines import write_lines
from tiny_refcoco import run_tool

from flmm.features import MadeWith
from flmm.registry import DATASETS, MODELS

PICTURE = 'data/images/5.png'


def as_list(item):
    return item if isinstance(item, list) else [item]


@pytest.mark.parametrize('loader', ['train', 'val', 'test'])
def test_stored_samples_are_those_of_the_dataset_with_their_features(config, workspace, loader):
    settings = config[f'{loader}_dataloader'].dataset
    source, stored = DATASETS.build(settings.dataset), DATASETS.build(settings)
    model = MODELS.build(Config.fromfile(workspace).model)
    assert len(stored) == len(source)
    for item in range(len(source)):
        random.seed(item)
        draw = random.randrange(settings.get('draws', 1))
        random.seed(item)
        found = stored[item]
        set_random_seed(random.Random(f'5 {item} {draw}').getrandbits(32))
        expected = source[item]
        assert isinstance(found, list) == isinstance(expected, list)
        for one, other in zip(as_list(found), as_list(expected), strict=True):
            assert one.image is None
            assert one.lmm_inputs is None
            for name in ('input_ids', 'mask_ids', 'masks', 'gt_masks'):
                assert torch.equal(getattr(one, name), getattr(other, name)), name
            for name in ('phrases', 'phrase_infos', 'image_path', 'dataset_name', 'sample_idx'):
                assert getattr(one, name) == getattr(other, name), name
            for own, view in zip(one.views, other.views, strict=True):
                assert torch.equal(own.columns, view.columns)
                assert torch.equal(own.layout.tokens, view.layout.tokens)
                assert (own.meta_data, own.layout.grid_size) == (view.meta_data, view.layout.grid_size)
            (features,) = model.encode([other])
            for name in ('attentions', 'hidden_states', 'image_embedding'):
                stored_tensor = getattr(one.features, name)
                torch.testing.assert_close(stored_tensor, getattr(features, name), rtol=1e-5, atol=1e-5)


def test_wrappers_take_stored_features(config):
    settings = config.val_dataloader.dataset
    alone = DATASETS.build(settings)
    for wrapper in (
        {'type': 'RepeatDataset', 'times': 2, 'dataset': settings},
        {'type': 'ConcatDataset', 'datasets': [settings, settings]},
    ):
        wrapped = DATASETS.build(wrapper)
        assert len(wrapped) == 2 * len(alone)
        last = wrapped[len(wrapped) - 1]
        assert last.phrases == alone[len(alone) - 1].phrases
        assert torch.equal(last.features.attentions, alone[len(alone) - 1].features.attentions)


def losses_without_and_with_the_store(config, workspace):
    """(losses of the LMM's own reading, losses of the stored one) for all validation items, with the same weights."""
    torch.manual_seed(0)
    model = MODELS.build(dict(config.model, lmm=Config.fromfile(workspace).model.lmm))
    without_lmm = MODELS.build(config.model)
    assert sum(parameter.numel() for parameter in without_lmm.lmm.parameters()) == 0
    without_lmm.load_state_dict(model.state_dict())
    settings = config.val_dataloader.dataset
    found = []
    for reader, dataset in ((model, settings.dataset), (without_lmm, settings)):
        items = DATASETS.build(dataset)
        found.append(reader([items[number] for number in range(len(items))], mode='loss'))
    return found


def test_losses_are_those_without_the_store(config, workspace):
    expected, found = losses_without_and_with_the_store(config, workspace)
    for name, loss in expected.items():
        torch.testing.assert_close(found[name], loss, rtol=1e-5, atol=1e-6)


ABSENT = """
_base_ = {base!r}
model = dict(existence=dict(type='ExistenceHead', width=8))
lines = dict(
    _delete_=True, type='JsonLinesDataset', text_mode='original', test_mode=True, data_root={data!r},
    ann_file='lines.jsonl', data_prefix=dict(img_path='images/'),
    pipeline=_base_.val_dataloader.dataset.dataset.pipeline,
)
val_dataloader = dict(dataset=dict(folder={folder!r}, dataset=lines))
train_dataloader = test_dataloader = None
"""


def test_losses_of_phrases_that_mean_nothing_are_those_without_the_store(config, workspace, tmp_path):
    """What the existence head reads is stored, and the store does not depend on the head."""
    here = {'phrase': ['here', 'it is here'], 'polygons': [[10, 10, 50, 10, 50, 40, 10, 40]]}
    nowhere = {'phrase': ['nowhere', 'a green one'], 'no_target': True}
    data = workspace.parent / 'data'
    lines = [{'image': '1.png', 'phrases': [here, nowhere]}, {'image': '2.png', 'phrases': [nowhere]}]
    write_lines(data / 'lines.jsonl', lines)
    path = tmp_path / 'absent.py'
    path.write_text(ABSENT.format(base=config.filename, data=str(data), folder=str(tmp_path)))
    run_tool('cache_features', path, '--num-workers', '0')

    expected, found = losses_without_and_with_the_store(Config.fromfile(path), workspace)

    of_masks = {'loss_mask', 'loss_dice', 'sam_loss_mask', 'sam_loss_dice', 'sam_loss_iou'}
    assert expected.keys() == {*of_masks, 'loss_existence'}
    assert 0.3 < expected['loss_existence'].item() < 1.5
    for name, loss in expected.items():
        torch.testing.assert_close(found[name], loss, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(('dtype', 'tolerance'), [('float16', 1e-3), ('bfloat16', 8e-3)])
def test_a_narrow_dtype_rounds_and_no_more(config, tmp_path, dtype, tolerance):
    settings = config.val_dataloader.dataset
    wide = DATASETS.build(settings)
    path = tmp_path / 'narrow.py'
    path.write_text(
        f'_base_ = {config.filename!r}\n'
        f'val_dataloader = dict(dataset=dict(folder={str(tmp_path)!r}, dtype={dtype!r}))\n'
        'train_dataloader = test_dataloader = None\n'
    )
    run_tool('cache_features', path, '--num-workers', '0')
    narrow = DATASETS.build(Config.fromfile(path).val_dataloader.dataset)
    for item in range(len(wide)):
        one, other = wide[item].features, narrow[item].features
        assert other.attentions.dtype == other.image_embedding['image'].dtype == torch.float32
        torch.testing.assert_close(other.attentions, one.attentions, rtol=tolerance, atol=1e-9)
        torch.testing.assert_close(other.image_embedding, one.image_embedding, rtol=tolerance, atol=1e-7)
        assert torch.equal(other.hidden_states, one.hidden_states)
        assert not torch.equal(other.attentions, one.attentions)


def test_another_model_processor_dataset_or_seed_is_refused(config):
    settings = config.val_dataloader.dataset
    changes = {
        'another model.heads (None, not [[1, 2]])': {'model': dict(settings.model, heads=[(1, 2)])},
        "another model.merge (None, not 'max')": {'model': dict(settings.model, merge='max')},
        'another seed (5, not 6)': {'seed': 6},
        "another dtype ('float32', not 'float16')": {'dtype': 'float16'},
        'another draws (1, not 2)': {'draws': 2},
        "another dataset.split ('val', not 'testA')": {'dataset': dict(settings.dataset, split='testA')},
    }
    pruned = json.loads(json.dumps(settings.dataset))
    pruned['pipeline'][-1]['image_processor'].update(patch_selection_method='v1')
    changes['another dataset.pipeline'] = {'dataset': pruned}
    for message, change in changes.items():
        with pytest.raises(ValueError, match=re.escape(f'were made with {message}') + '.*; make them again in another'):
            DATASETS.build(dict(settings, **change))
    for not_read in ({'mask_head': {'base_channels': 8}}, {'sam': {'use_text': False}}, {'compiled': {}}):
        changed = Config({'model': settings.model})
        changed.merge_from_dict({'model': not_read})
        assert len(DATASETS.build(dict(settings, model=changed.model))) == len(DATASETS.build(settings))


@pytest.mark.parametrize(
    ('file', 'message'),
    [
        ('lmm/model.safetensors', r"another '.*/lmm' \(model\.lmm\.name_or_path\), '.*/lmm' \(dataset\.pipeline\.2\."),
        ('lmm/tokenizer.json', r"another '.*/lmm' \(model\.lmm\.name_or_path\)"),
        ('sam.safetensors', r"another '.*/sam\.safetensors' \(model\.sam\.checkpoint\);"),
        ('data/refcoco/refs(unc).p', r"another '.*/refs\(unc\)\.p' \(dataset\.split_file\);"),
        ('data/refcoco/instances.json', r"another '.*/instances\.json' \(dataset\.ann_file\);"),
    ],
)
def test_changed_files_are_noticed(config, workspace, file, message):
    path = workspace.parent / file
    content = path.read_bytes()
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    path.write_bytes(bytes(changed))
    try:
        with pytest.raises(ValueError, match=message):
            DATASETS.build(config.val_dataloader.dataset)
    finally:
        path.write_bytes(content)


def test_another_version_is_refused(config, monkeypatch):
    monkeypatch.setattr('flmm.features.made_with.FEATURES_VERSION', 99)
    with pytest.raises(ValueError, match=r'another versions\.features \(6, not 99\)'):
        DATASETS.build(config.val_dataloader.dataset)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'dtype': 'float64'}, "dtype is 'float64', expected one of ['bfloat16', 'float16', 'float32']"),
        ({'draws': 0}, 'draws is 0, expected 1 or more'),
        ({'pictures': 'size'}, "pictures is 'size', expected one of ('stat', 'content', 'unchecked')"),
        ({'folder': 'nowhere'}, "'nowhere' holds no features; make them with tools/cache_features.py"),
    ],
)
def test_what_cannot_be_is_named(config, change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        DATASETS.build(dict(config.val_dataloader.dataset, **change))


def test_what_cannot_be_written_down_is_refused(config):
    settings = config.val_dataloader.dataset
    for value in (object(), {1, 2}):
        with pytest.raises(ValueError, match=f'of type {type(value).__name__} cannot stand in a config whose features'):
            DATASETS.build(dict(settings, dataset=dict(settings.dataset, name=value)))
    with pytest.raises(ValueError, match='of type object cannot stand in a config whose features'):
        DATASETS.build(dict(settings, dataset=dict(settings.dataset, pipeline=[object()])))
    found = MadeWith.from_configs(dataset={'name': Path('a/b')}, model=settings.model, draws=1, dtype='float32', seed=0)
    assert found.settings['dataset'] == {'name': 'a/b'}


def test_a_model_without_lmm_names_a_sample_without_features(config, workspace):
    sample = DATASETS.build(Config.fromfile(workspace).val_dataloader.dataset)[0]
    with pytest.raises(ValueError, match=r"sample of '.*5\.png' carries no features, and the LMM was built without"):
        MODELS.build(config.model).encode([sample])


def test_data_models_and_features_may_be_moved(moved, monkeypatch):
    root, settings = moved
    dataset = DATASETS.build(settings)
    assert dataset[0].image_path == str(root / PICTURE)
    monkeypatch.chdir(root)
    settings['dataset'] = dict(settings['dataset'], data_root='data/')
    settings['model'] = dict(settings['model'], lmm=dict(settings['model']['lmm'], name_or_path=Path('lmm')))
    assert DATASETS.build(settings)[0].image_path == PICTURE


@pytest.mark.parametrize('name', ['ann_file', 'split_file'])
def test_an_absent_annotation_file_is_named(moved, name):
    _, settings = moved
    settings['dataset'] = dict(settings['dataset'], **{name: 'refcoco/none'})
    with pytest.raises(ValueError, match=rf"dataset\.{name} '.*/data/refcoco/none' is no file on this machine; check"):
        DATASETS.build(settings)
