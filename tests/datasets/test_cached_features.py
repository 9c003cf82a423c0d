"""Stored features: what is read is what was computed, and stores of anything else are refused."""

import hashlib
import io
import json
import os
import pickle
import random
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from PIL import Image
from tiny_refcoco import REPOSITORY, run_tool, write_workspace

from flmm.datasets.cached_features import made_with
from flmm.datasets.feature_store import FeatureStore, StoredSample
from flmm.datasets.made_with import MadeWith
from flmm.file_state import FileState
from flmm.registry import DATASETS, MODELS

CACHED = """
_base_ = './tiny.py'
cached = dict(_delete_=True, type='CachedFeatures', model=_base_.model, dtype={dtype!r}, seed=5)
train_dataloader = dict(
    dataset=dict(folder={folder!r} + '/train', dataset=_base_.train_dataloader.dataset, draws=3, **cached)
)
val_dataloader = dict(dataset=dict(folder={folder!r} + '/val', dataset=_base_.val_dataloader.dataset, **cached))
test_dataloader = dict(dataset=dict(folder={folder!r} + '/test', dataset=_base_.test_dataloader.dataset, **cached))
model = dict(lmm=dict(type='LMMWithoutWeights'))
"""


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp('workspace'))


@pytest.fixture(scope='module')
def cached_config(workspace):
    """A config whose loaders read stored features; they are stored."""
    path = workspace.with_name('cached.py')
    path.write_text(CACHED.format(folder=str(workspace.with_name('features')), dtype='float32'))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        run_tool('cache_features', path, '--num-workers', '0', '--batch-size', '2')
    return path


@pytest.fixture
def config(cached_config, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    init_default_scope('flmm')
    return Config.fromfile(cached_config)


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
            assert one.pixel_values is None
            for name in ('input_ids', 'mask_ids', 'image_grid_thw', 'image_layout', 'masks', 'gt_masks'):
                assert torch.equal(getattr(one, name), getattr(other, name)), name
            for name in ('image_token_id', 'phrases', 'phrase_kinds', 'image_path', 'dataset_name', 'sample_idx'):
                assert getattr(one, name) == getattr(other, name), name
            assert one.meta_data == other.meta_data
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


def test_losses_are_those_without_the_store(config, workspace):
    settings = Config.fromfile(workspace)
    torch.manual_seed(0)
    model = MODELS.build(settings.model)
    trained_part = model.state_dict()
    without_lmm = MODELS.build(config.model)
    assert sum(parameter.numel() for parameter in without_lmm.lmm.parameters()) == 0
    without_lmm.load_state_dict(trained_part)
    stored = DATASETS.build(config.val_dataloader.dataset)
    source = DATASETS.build(settings.val_dataloader.dataset)
    batches = [[dataset[item] for item in range(len(dataset))] for dataset in (source, stored)]
    expected, found = (reader(batch, mode='loss') for reader, batch in zip((model, without_lmm), batches, strict=True))
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
    for not_read in ({'mask_head': {'base_channels': 8}}, {'sam': {'detach_mask_prompt': True}}, {'compiled': {}}):
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
    monkeypatch.setattr('flmm.datasets.cached_features.FEATURES_VERSION', 99)
    with pytest.raises(ValueError, match=r'another versions\.features \(3, not 99\)'):
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
    found = made_with(dataset={'name': Path('a/b')}, model=settings.model, draws=1, dtype='float32', seed=0)
    assert found.settings['dataset'] == {'name': 'a/b'}


def test_attention_far_below_one_keeps_its_digits(config, tmp_path):
    sample = DATASETS.build(config.val_dataloader.dataset)[0]
    attentions = sample.features.attentions
    attentions.copy_(10 ** torch.linspace(-8, 0, attentions.numel()).reshape(attentions.shape))
    store = FeatureStore(tmp_path, made_with=MadeWith(settings={}))
    store.open_to_write(num_images=1)
    store.write(0, [StoredSample(item=0, draw=0, is_list=False, sample=sample)], pictures={}, dtype='float16')
    (record,) = store.records()
    torch.testing.assert_close(store.read(record).features.attentions, attentions, rtol=1e-3, atol=0)


def test_numbers_too_large_for_the_dtype_are_refused(config, tmp_path):
    sample = DATASETS.build(config.val_dataloader.dataset)[0]
    store = FeatureStore(tmp_path, made_with=MadeWith(settings={}))
    sample.features.image_embedding['image'][0, 0, 0] = 1e5
    with pytest.raises(
        ValueError, match=r"image_embedding of '.*5\.png' are not finite in torch.float16; take a wider"
    ):
        store.write(0, [StoredSample(item=0, draw=0, is_list=False, sample=sample)], pictures={}, dtype='float16')
    assert list(tmp_path.iterdir()) == []


def test_a_sample_without_truth_is_refused(config, tmp_path):
    sample = DATASETS.build(config.val_dataloader.dataset)[0]
    sample.masks = sample.gt_masks = None
    store = FeatureStore(tmp_path, made_with=MadeWith(settings={}))
    stored = StoredSample(item=0, draw=0, is_list=False, sample=sample)
    with pytest.raises(ValueError, match=r"image '.*5\.png' has no truth masks; features are stored to train with"):
        store.write(0, [stored], pictures={}, dtype='float32')
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_lmm_names_a_sample_without_features(config, workspace):
    sample = DATASETS.build(Config.fromfile(workspace).val_dataloader.dataset)[0]
    with pytest.raises(ValueError, match=r"sample of '.*5\.png' carries no features, and the LMM was built without"):
        MODELS.build(config.model).encode([sample])


@pytest.fixture
def moved(config, workspace, tmp_path):
    """A copy of the workspace, which a test may change, and the settings of its validation set."""
    root = tmp_path / 'moved'
    shutil.copytree(workspace.parent, root)  # keeps time stamps

    def replaced(value):
        if isinstance(value, dict):
            return {key: replaced(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [replaced(inner) for inner in value]
        return value.replace(str(workspace.parent), str(root)) if isinstance(value, str) else value

    return root, replaced(config.val_dataloader.dataset.to_dict())


PICTURE = 'data/images/5.png'


def blackened(path):
    """Replace a picture by a black one of equal size in pixels and in bytes; return what it was."""
    content = path.read_bytes()
    black = io.BytesIO()
    with Image.open(path) as image:
        Image.new('RGB', image.size).save(black, format='PNG')
    path.write_bytes(black.getvalue() + bytes(len(content) - len(black.getvalue())))
    return content


def test_data_models_and_features_may_be_moved(moved, monkeypatch):
    root, settings = moved
    dataset = DATASETS.build(settings)
    assert dataset[0].image_path == str(root / PICTURE)
    monkeypatch.chdir(root)
    settings['dataset'] = dict(settings['dataset'], data_root='data/')
    settings['model'] = dict(settings['model'], lmm=dict(settings['model']['lmm'], name_or_path=Path('lmm')))
    assert DATASETS.build(settings)[0].image_path == PICTURE


@pytest.mark.parametrize('data_root', ['data', './data', 'data//', './/data/./', '../here/data'])
def test_however_a_data_root_is_written_its_pictures_are_told_from_others(moved, tmp_path, monkeypatch, data_root):
    root, settings = moved
    shutil.copytree(root / 'data', tmp_path / 'here' / 'data')
    monkeypatch.chdir(tmp_path / 'here')
    settings['dataset'] = dict(settings['dataset'], data_root=data_root)
    dataset = DATASETS.build(settings)
    name = dataset.store.made_with.name_of(DATASETS.build(settings['dataset'])[0].image_path)
    assert name == '<data_root 0>/images/5.png'
    blackened(tmp_path / 'here' / PICTURE)
    with pytest.raises(ValueError, match=r'1 of 1 pictures are not those'):
        DATASETS.build(settings)


def test_each_picture_is_described_once(moved):
    root, _ = moved
    (pictures,) = (json.loads(path.read_text()) for path in (root / 'features/val').glob('*.pictures.json'))
    path = root / PICTURE
    assert pictures == [
        {
            'path': '<data_root 0>/images/5.png',
            'size': path.stat().st_size,
            'mtime_ns': path.stat().st_mtime_ns,
            'sha256': hashlib.sha256(path.read_bytes()).hexdigest(),
        }
    ]


@pytest.mark.parametrize('pictures', ['stat', 'content'])
def test_replaced_pictures_are_refused(moved, pictures):
    root, settings = moved
    path = root / PICTURE
    blackened(path)
    message = r"1 of 1 pictures are not those .* made from: '.*5\.png' has another content of the same size; make the"
    with pytest.raises(ValueError, match=message):
        DATASETS.build(dict(settings, pictures=pictures))
    Image.new('RGB', (112, 90)).save(path)
    with pytest.raises(ValueError, match=rf'5\.png. has {path.stat().st_size} bytes, not \d+; make the features again'):
        DATASETS.build(dict(settings, pictures=pictures))
    assert len(DATASETS.build(dict(settings, pictures='unchecked'))) == 1


def test_of_equal_size_and_time_stamp_a_picture_is_read_on_demand_only(moved):
    root, settings = moved
    path = root / PICTURE
    before = path.stat()
    blackened(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert len(DATASETS.build(settings)) == 1  # the limit of 'stat', which docs/performance.md states
    with pytest.raises(ValueError, match=r"5\.png' has another content of the same size"):
        DATASETS.build(dict(settings, pictures='content'))


@pytest.mark.parametrize('pictures', ['stat', 'content'])
def test_a_new_time_stamp_alone_is_accepted(moved, pictures):
    root, settings = moved
    os.utime(root / PICTURE, ns=(0, 0))
    assert len(DATASETS.build(dict(settings, pictures=pictures))) == 1


@pytest.mark.parametrize('pictures', ['stat', 'content'])
def test_absent_pictures_are_refused_but_by_choice(moved, pictures):
    root, settings = moved
    (root / PICTURE).unlink()
    with pytest.raises(ValueError, match=r"5\.png' does not exist; check data_root, or set pictures='unchecked'"):
        DATASETS.build(dict(settings, pictures=pictures))
    stored = DATASETS.build(dict(settings, pictures='unchecked'))
    assert stored[0].features is not None


def test_wrappers_notice_changed_pictures(moved):
    root, settings = moved
    blackened(root / PICTURE)
    for wrapper in (
        {'type': 'RepeatDataset', 'times': 2, 'dataset': settings},
        {'type': 'ConcatDataset', 'datasets': [settings, settings]},
    ):
        with pytest.raises(ValueError, match='1 of 1 pictures are not those'):
            DATASETS.build(wrapper)


def test_pictures_are_compared_once_and_not_in_workers(moved):
    root, settings = moved
    stored = DATASETS.build(settings)
    (root / PICTURE).unlink()
    again = pickle.loads(pickle.dumps(stored))  # as a worker that is spawned gets it
    assert torch.equal(again[0].features.attentions, stored[0].features.attentions)


@pytest.mark.parametrize('name', ['ann_file', 'split_file'])
def test_an_absent_annotation_file_is_named(moved, name):
    _, settings = moved
    settings['dataset'] = dict(settings['dataset'], **{name: 'refcoco/none'})
    with pytest.raises(ValueError, match=rf"dataset\.{name} '.*/data/refcoco/none' is no file on this machine; check"):
        DATASETS.build(settings)


def test_large_weights_of_another_time_stamp_are_read_whole(moved, monkeypatch, tmp_path):
    """Blocks leave gaps: a change between them is found by its time stamp, and a mere copy is not taken for one."""
    monkeypatch.setattr('flmm.fingerprint.BLOCK', 64)
    monkeypatch.setattr('flmm.fingerprint.NUM_BLOCKS', 4)
    root, settings = moved
    weights = root / 'sam.safetensors'
    options = {key: settings[key] for key in ('dataset', 'model', 'dtype', 'seed')}
    store = FeatureStore(tmp_path / 'store', made_with=made_with(**options, draws=1))
    store.open_to_write(num_images=0)
    os.utime(weights, ns=(0, 0))
    store.check()
    content = bytearray(weights.read_bytes())
    content[-200] ^= 1  # not in the last block
    weights.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"another '.*sam\.safetensors' \(has another content of the same size\); make"
    ):
        store.check()


def test_a_picture_that_changes_meanwhile_is_refused(config, tmp_path):
    sample = DATASETS.build(config.val_dataloader.dataset)[0]
    picture = tmp_path / 'a.png'
    picture.write_bytes(b'before')
    store = FeatureStore(tmp_path / 'store', made_with=MadeWith(settings={}))
    store.open_to_write(num_images=1)
    pictures = store.read_pictures([str(picture)])
    assert pictures == {str(picture): FileState.read(str(picture))}
    picture.write_bytes(b'behind')
    with pytest.raises(
        ValueError, match=r"while features were made of them, '.*a\.png' has another content .*; run tools"
    ):
        store.write(0, [StoredSample(item=0, draw=0, is_list=False, sample=sample)], pictures=pictures, dtype='float32')
    assert [path.name for path in store.folder.iterdir()] == ['store.json']


def test_processes_may_start_a_store_at_the_same_time(moved, tmp_path):
    _, settings = moved
    found_with = made_with(draws=1, **{key: settings[key] for key in ('dataset', 'model', 'dtype', 'seed')})
    barrier = threading.Barrier(8)

    def start(_):
        store = FeatureStore(tmp_path / 'store', made_with=found_with)
        barrier.wait()
        return store.open_to_write(num_images=200)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(start, range(8))) == [[0, 1, 2, 3]] * 8
    assert [path.name for path in (tmp_path / 'store').iterdir()] == ['store.json']


def test_another_number_of_images_is_refused(tmp_path):
    store = FeatureStore(tmp_path, made_with=MadeWith(settings={}))
    store.open_to_write(num_images=64)
    with pytest.raises(
        ValueError, match='are to be 1 shards, and the 65 images of the dataset make 2; make them again'
    ):
        store.open_to_write(num_images=65)
