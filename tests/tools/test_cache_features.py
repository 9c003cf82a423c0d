"""tools/cache_features.py: going on after an interruption, several processes, training on what it stores."""

import json
import random
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from PIL import Image, ImageOps
from safetensors import safe_open
from tiny_refcoco import REPOSITORY, run_tool

from flmm.features import FeatureStore, MadeWith
from flmm.registry import DATASETS, MODELS, TRANSFORMS

CACHED = """
_base_ = './tiny.py'
train_dataloader = dict(dataset=dict(
    _delete_=True, type='flmm.CachedFeatures', folder={folder!r}, model=_base_.model, dtype='float32',
    dataset=dict(_base_.train_dataloader.dataset, text_mode='select_first'),
))
model = dict(lmm=dict(type='LMMWithoutWeights'))
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None
"""
PLAIN = """
_base_ = './tiny.py'
train_dataloader = dict(dataset=dict(text_mode='select_first'))
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None
"""
ENDINGS = ('json', 'pictures.json', 'safetensors')


@pytest.fixture
def cached(config, tmp_path, monkeypatch):
    """Config and folder of features that are not stored yet, two images to a shard."""
    monkeypatch.chdir(REPOSITORY)
    for module in ('shards', 'store'):  # as the tool and as the store know it
        monkeypatch.setattr(f'flmm.features.{module}.IMAGES_PER_SHARD', 2)
    init_default_scope('flmm')
    folder = tmp_path / 'features'
    path = config.with_name('cached.py')
    path.write_text(CACHED.format(folder=str(folder)))
    return path, folder


def run(path, *arguments):
    run_tool('cache_features', path, '--num-workers', '0', *arguments)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_interrupted_run_goes_on_where_it_stopped(cached):
    path, folder = cached
    run(path)
    whole = contents(folder)
    assert set(whole) == {'store.json', *(f'shard_0000{i}.{end}' for i in (0, 1) for end in ENDINGS)}
    kept = (folder / 'shard_00000.json').stat().st_mtime_ns
    (folder / 'shard_00001.json').unlink()  # as if stopped before it was written
    (folder / 'shard_00001.safetensors.1f.unfinished').write_bytes(b'as if stopped at once')
    whole['somebody.elses.txt'] = b'notes'
    (folder / 'somebody.elses.txt').write_bytes(b'notes')

    dataset = Config.fromfile(path).train_dataloader.dataset
    with pytest.raises(ValueError, match=r'1 of 2 shards are missing in .*; run tools/cache_features\.py again'):
        DATASETS.build(dataset)
    # Features do not depend on a tracker, and it is not loaded.
    run(path, '--cfg-options', '+train_dataloader.dataset.model.tracker.name_or_path=absent')

    assert contents(folder) == whole
    assert (folder / 'shard_00000.json').stat().st_mtime_ns == kept
    assert len(DATASETS.build(dataset)) == 4


@pytest.fixture
def images(config):
    """The folder of the pictures, which a test may change."""
    folder = config.parent / 'data' / 'images'
    contents_before = contents(folder)
    yield folder
    for name, content in contents_before.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize('ending', ENDINGS)
def test_features_of_changed_pictures_are_not_gone_on_with(cached, images, ending):
    path, folder = cached
    run(path)
    of_shards = [json.loads(file.read_text()) for file in sorted(folder.glob('*.pictures.json'))]
    done, to_do = (images / Path(pictures[0]['path']).name for pictures in of_shards)
    of_old_pictures = (folder / 'shard_00001.safetensors').read_bytes()
    (folder / f'shard_00001.{ending}').unlink()
    content = done.read_bytes()
    Image.new('RGB', (84, 56)).save(done)
    with pytest.raises(ValueError, match=r"1 of 2 pictures are not those .* made from: '.*png' has \d+ bytes, not \d+"):
        run(path)
    done.write_bytes(content)  # has another time stamp now, which is no change

    Image.new('RGB', Image.open(to_do).size).save(to_do)  # of the shard that is not done: no stored feature is of it
    run(path)
    assert (folder / 'shard_00001.safetensors').read_bytes() != of_old_pictures
    assert len(DATASETS.build(Config.fromfile(path).train_dataloader.dataset)) == 4


def test_going_on_compares_pictures_as_the_config_says(cached, images):
    path, folder = cached
    run(path)
    (folder / 'shard_00001.json').unlink()
    picture = images / Path(json.loads((folder / 'shard_00000.pictures.json').read_text())[0]['path']).name
    picture.unlink()
    with pytest.raises(ValueError, match=r"1 of 2 pictures .* does not exist; .* set pictures='unchecked'"):
        run(path)
    run(path, '--cfg-options', '+train_dataloader.dataset.pictures=unchecked')
    assert (folder / 'shard_00001.json').exists()


def test_processes_share_the_shards(cached, tmp_path):
    path, folder = cached
    run(path)
    whole = contents(folder)
    for file in folder.iterdir():
        file.unlink()
    run(path, '--rank', '1', '--world-size', '2')
    assert set(contents(folder)) == {'store.json', *(f'shard_00001.{end}' for end in ENDINGS)}
    run(path, '--rank', '0', '--world-size', '2')
    assert contents(folder) == whole
    with pytest.raises(ValueError, match=r'--rank is 2, expected 0 to 1 \(--world-size - 1\)'):
        run(path, '--rank', '2', '--world-size', '2')


def test_training_on_stored_features_is_training(cached, config, tmp_path):
    path, _ = cached
    run(path)
    plain = config.with_name('plain.py')
    plain.write_text(PLAIN)
    losses, weights = [], []
    for name, one in (('plain', plain), ('cached', path)):
        options = (f'experiment_name=stored_{name}', 'default_hooks.logger.interval=1')
        run_tool('train', one, '--work-dir', tmp_path / name, '--cfg-options', *options)
        (scalars,) = Path(tmp_path / name).rglob('scalars.json')
        losses.append([json.loads(line)['loss'] for line in scalars.read_text().splitlines()])
        weights.append(torch.load(tmp_path / name / 'epoch_2.pth', weights_only=True)['state_dict'])
    assert len(losses[0]) == 4
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-3, atol=1e-4)


class MirrorAtRandom:
    """A transform of numpy's randomness that changes the image."""

    def __call__(self, results):
        if np.random.random() < 0.5:  # noqa: NPY002 (mmdet's transforms draw from it)
            results['image'] = ImageOps.mirror(results['image'])
            results['gt_masks'] = results['gt_masks'].flip()
        return results


def test_each_draw_has_the_features_of_its_own_image(cached):
    path, folder = cached
    config = Config.fromfile(path)
    settings = config.train_dataloader.dataset
    pipeline = settings.dataset.pipeline
    pipeline.insert(-1, {'type': 'MirrorAtRandom'})
    settings.draws = 6
    path = path.with_name('mirrored.py')
    config.dump(path)
    with mock.patch.dict(TRANSFORMS.module_dict, MirrorAtRandom=MirrorAtRandom):
        run(path)
        source = DATASETS.build(settings.dataset)
    store = FeatureStore(folder, made_with=MadeWith(settings={}))
    with safe_open(folder / 'shard_00000.safetensors', framework='pt') as file:
        num_embeddings = sum(name.endswith('image_embedding.image') for name in file.offset_keys())
    assert num_embeddings == 4  # two images and their mirror images
    model = MODELS.build(settings.model)
    mirrored = set()
    for record in store.records():
        if record['item'] > 0:
            continue
        sample = store.read(record)
        set_random_seed(random.Random(f'0 0 {record["draw"]}').getrandbits(32))
        expected = source[0]
        assert torch.equal(sample.gt_masks, expected.gt_masks)
        (features,) = model.encode([expected])
        torch.testing.assert_close(sample.features.image_embedding, features.image_embedding, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(sample.features.attentions, features.attentions, rtol=1e-5, atol=1e-6)
        mirrored.add(expected.image.tobytes())
    assert len(mirrored) == 2


def test_a_config_without_stored_features_is_refused(config, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(ValueError, match=r'tiny\.py has no dataset of type CachedFeatures'):
        run(config)
