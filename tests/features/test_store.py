"""FeatureStore alone: what it refuses to write, and starting it from several processes."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from flmm.features import FeatureStore, MadeWith, StoredSample
from flmm.features.file_state import FileState
from flmm.registry import DATASETS


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
        ValueError, match=r"image_embedding.image of '.*5\.png' are not finite in torch.float16; take a wider"
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


def test_large_weights_of_another_time_stamp_are_read_whole(moved, monkeypatch, tmp_path):
    """Blocks leave gaps: a change between them is found by its time stamp, and a mere copy is not taken for one."""
    monkeypatch.setattr('flmm.features.fingerprint.BLOCK', 64)
    monkeypatch.setattr('flmm.features.fingerprint.NUM_BLOCKS', 4)
    root, settings = moved
    weights = root / 'sam.safetensors'
    options = {key: settings[key] for key in ('dataset', 'model', 'dtype', 'seed')}
    store = FeatureStore(tmp_path / 'store', made_with=MadeWith.from_configs(**options, draws=1))
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
    found_with = MadeWith.from_configs(draws=1, **{key: settings[key] for key in ('dataset', 'model', 'dtype', 'seed')})
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
