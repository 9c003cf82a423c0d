"""Datasets of videos with planted faults: each is found, and counted by hand."""

import json

import pytest
import torch
from PIL import Image
from tiny_ref_videos import FRAMES, SIZE, truth, write_ref_youtube_vos
from torch.utils._python_dispatch import TorchDispatchMode

from flmm.data_check import Problems, check_videos, find_sources
from flmm.datasets import ClipToSample, RefCOCO2PNG


@pytest.fixture
def config(tmp_path, wrapper):
    write_ref_youtube_vos(tmp_path)
    to_sample = RefCOCO2PNG(image_processor=wrapper, prompt='Where?', max_phrase_tokens=20)
    return {
        'type': 'RefVideoDataset', 'name': 'videos', 'data_root': str(tmp_path), 'ann_file': 'meta_expressions.json',
        'fps': 6.0, 'serialize_data': False, 'data_prefix': {'img_path': 'JPEGImages', 'mask_path': 'Annotations'},
        'pipeline': [{'type': 'flmm.LoadVideoMasks'}, ClipToSample(to_sample=to_sample)],
    }  # fmt: skip


def check(*configs, **settings):
    loaders = dict(zip(('train_dataloader', 'val_dataloader'), ({'dataset': each} for each in configs), strict=False))
    sources, found = find_sources(loaders, [name.partition('_')[0] for name in loaders])
    assert found == []
    problems = Problems(limit=100)
    summaries = check_videos(sources, problems, **settings)
    return summaries, [(problem.kind, problem.message) for problem in problems.kept]


@pytest.mark.parametrize('group_by_video', [False, True])
def test_sound_videos(config, group_by_video):
    (summary,), problems = check({**config, 'group_by_video': group_by_video})
    assert problems == []
    assert summary.label == 'train/videos'
    assert {key: count for key, count in summary.counts.items() if count} == {
        'images': 5, 'items': 2 if group_by_video else 5, 'phrases': 5, 'several targets': 1
    }  # fmt: skip
    assert summary.kinds == {'motion:first': 2}
    assert summary.values['height'] == [SIZE[0]] * 5
    shares = [100 * share for video in FRAMES for share in truth(video).mean(axis=(2, 3)).T.ravel() if share]
    assert sorted(summary.values['share']) == pytest.approx(sorted(shares), rel=1e-6)
    assert len(summary.values['length']) == 5


def test_what_is_wrong_is_found_once(config, tmp_path):
    frames = tmp_path / 'JPEGImages'
    (frames / 'bird' / '00005.jpg').unlink()
    content = (frames / 'bird' / '00010.jpg').read_bytes()
    (frames / 'bird' / '00010.jpg').write_bytes(content[:-10])
    Image.new('RGB', (28, 19)).save(frames / 'cars' / '00001.jpg')
    Image.new('L', (28, 19)).save(tmp_path / 'Annotations' / 'cars' / '00001.png')
    meta = json.loads((tmp_path / 'meta_expressions.json').read_text())
    meta['videos']['cars']['expressions']['7']['exp'] = 'the lamp ' * 30
    (tmp_path / 'meta_expressions.json').write_text(json.dumps(meta))

    _, problems = check({**config, 'group_by_video': True})
    assert [kind for kind, _ in problems] == ['image absent', 'image unreadable', 'image size', 'mask', 'phrase']
    for (_, message), part in zip(
        problems,
        ["00005.jpg' does not exist", "00010.jpg' cannot be read", "cars' has frames of several sizes",
         'has a mask of 19x28 px', 'max_phrase_tokens is 20'],
        strict=True,
    ):  # fmt: skip
        assert part in message
    _, problems = check({**config, 'group_by_video': True}, headers_only=True)
    assert [kind for kind, _ in problems] == ['image absent', 'image size', 'mask', 'phrase']


def test_videos_of_train_and_test_are_named(config):
    _, problems = check(config, {**config, 'name': 'others', 'indices': 1})
    assert problems == [
        ('train and test', "'train/videos' and 'val/others' share videos: 1; what was trained on is no test")
    ]


def test_an_error_of_the_dataset_is_a_problem(config):
    sources, problems = find_sources({'val_dataloader': {'dataset': {**config, 'fps': None}}}, ['val'])
    assert sources == []
    ((kind, message),) = [(problem.kind, problem.message) for problem in problems]
    assert kind == 'dataset'
    assert 'does not say how many frames there are in a second' in message


class Drawn:
    """Masks of all frames, drawn already."""

    def __init__(self, masks):
        self.masks = masks

    def __getitem__(self, frames):
        return self.masks


class Largest(TorchDispatchMode):
    """Keeps how many numbers the largest tensor has that any operator makes."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.numbers = max(self.numbers, made.numel() if isinstance(made, torch.Tensor) else 0)
        return made


def test_masks_are_not_copied(config, monkeypatch):
    """Where a long video has many expressions, masks take memory: in float32 five times as much."""
    (source,), _ = find_sources({'val_dataloader': {'dataset': {**config, 'group_by_video': True}}}, ['val'])
    masks = Drawn(torch.ones(3, 2, 40, 50, dtype=torch.bool))
    monkeypatch.setattr(source.load_masks, 'transform', lambda _: {'gt_masks': masks})
    with Largest() as largest:
        (summary,) = check_videos([source], Problems(limit=1))
    assert summary.values['share'] == [100.0] * 12
    assert largest.numbers == 2 * 40 * 50  # those of one frame, a view
