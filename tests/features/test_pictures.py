"""Pictures that features were made from, told from others: alone, and where a dataset of stored features is built."""

import hashlib
import io
import json
import os
import pickle
import shutil

import pytest
import torch
from PIL import Image

from flmm.features.file_state import FileState
from flmm.features.pictures import check_pictures
from flmm.registry import DATASETS

PICTURE = 'data/images/5.png'


def blackened(path):
    """Replace a picture by a black one of equal size in pixels and in bytes; return what it was."""
    content = path.read_bytes()
    black = io.BytesIO()
    with Image.open(path) as image:
        Image.new('RGB', image.size).save(black, format='PNG')
    path.write_bytes(black.getvalue() + bytes(len(content) - len(black.getvalue())))
    return content


def test_the_first_pictures_are_named_and_all_are_counted(tmp_path):
    paths = [tmp_path / f'{number}.png' for number in range(6)]
    for path in paths:
        path.write_bytes(b'1')
    states = {str(path): FileState.read(str(path)) for path in paths}
    check_pictures(states, folder=tmp_path, content=True)
    paths[5].unlink()
    with pytest.raises(ValueError, match=r"^1 of 6 pictures .* cannot be compared: '[^,]*5.png' does not exist; check"):
        check_pictures(states, folder=tmp_path, content=False)
    for path in paths[:5]:
        path.write_bytes(b'22')
    with pytest.raises(
        ValueError, match=r"^5 of 6 pictures .*: '.*0.png' has 2 bytes, not 1, .*2.png' .* and 2 more; make"
    ):
        check_pictures(states, folder=tmp_path, content=False)


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
