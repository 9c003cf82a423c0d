"""Paths of others stay inside their folder, and only regular files are read."""

import os
import re
import socket
import stat

import pytest

from flmm import files
from flmm.files import open_regular, path_below, path_inside, prepare_output


@pytest.fixture
def root(tmp_path):
    root = tmp_path / 'images'
    (root / 'sub').mkdir(parents=True)
    (root / 'sub' / 'a.jpg').write_bytes(b'inside')
    (tmp_path / 'secret.jpg').write_bytes(b'outside')
    return root


@pytest.mark.parametrize(
    'name', ['sub/a.jpg', './sub/a.jpg', 'sub//a.jpg', 'absent.jpg', 'a..b/..c.jpg', '~/a.jpg', 'ä b.jpg']
)
def test_inside(root, name):
    assert path_inside(root, name) == root / name
    assert path_inside(str(root), name, allow_outside=True) == root / name


@pytest.mark.parametrize(
    'name',
    ['../secret.jpg', 'sub/../../secret.jpg', 'sub/..', '..', '/etc/passwd', '//host/a', '..\\secret.jpg', 'C:\\a.jpg'],
)
def test_up_and_absolute(root, name):
    for prefix in (str(root), 's3://bucket/images', 'http://host/images/', ''):
        with pytest.raises(ValueError, match=re.escape(f'path {name!r} is absolute or goes up by ".."')):
            path_below(prefix, name)
    with pytest.raises(ValueError, match='set allow_outside to read it'):
        path_inside(root, name)
    assert path_inside(root, name, allow_outside=True) == root / name


@pytest.mark.parametrize('name', ['', ' ', 'a\0.jpg', None, 7, b'a.jpg', ['a.jpg']])
@pytest.mark.parametrize('allow_outside', [True, False])
def test_no_name(root, name, allow_outside):
    for join in (path_inside, path_below):
        with pytest.raises(ValueError, match=re.escape(f'path {name!r} is no name of a file')):
            join(str(root), name, allow_outside=allow_outside)


@pytest.mark.parametrize('allow_outside', [True, False])
def test_half_a_character_is_in_no_name(root, allow_outside):
    message = re.escape(r"path 'a\ud800.jpg' holds the lone surrogate '\ud800', as no file does")
    for prefix in (str(root), 's3://bucket/images'):
        with pytest.raises(ValueError, match=message):
            path_below(prefix, 'a\ud800.jpg', allow_outside=allow_outside)
    latin = os.fsdecode('ä.jpg'.encode('latin1'))  # how Python writes names that are no UTF-8
    assert path_below(str(root), latin) == f'{root}/{latin}'


@pytest.mark.parametrize('prefix', ['images', './images', 'images/', 'images//', '../x/images', '.', './', ''])
@pytest.mark.parametrize('allow_outside', [True, False])
def test_the_prefix_stays_as_it_was_written(prefix, allow_outside):
    assert path_below(prefix, 'sub/a.jpg', allow_outside=allow_outside) == os.path.join(prefix, 'sub/a.jpg')


def test_links(root, tmp_path):
    (root / 'file.jpg').symlink_to('../secret.jpg')
    (root / 'folder').symlink_to(tmp_path)
    (root / 'broken.jpg').symlink_to('/nowhere/a.jpg')
    (root / 'good.jpg').symlink_to('sub/a.jpg')
    (root / 'circle').symlink_to('circle')
    (tmp_path / 'linked_root').symlink_to(root)
    for name in ('file.jpg', 'folder/secret.jpg', 'broken.jpg'):
        with pytest.raises(
            ValueError, match=rf"path '{name}' leads out of '.*images' through a link; set allow_outside"
        ):
            path_inside(root, name)
        assert path_inside(root, name, allow_outside=True) == root / name
    assert path_inside(root, 'good.jpg') == root / 'good.jpg'
    for name in ('sub/a.jpg', 'good.jpg', 'folder/images/sub/a.jpg'):
        assert path_inside(tmp_path / 'linked_root', name) == tmp_path / 'linked_root' / name
    with open_regular(path_inside(tmp_path / 'linked_root', 'good.jpg')) as file:
        assert file.read() == b'inside'


def test_remote(root):
    assert path_below('s3://bucket/images', 'sub/a.jpg') == 's3://bucket/images/sub/a.jpg'
    assert path_below('http://host/images/', 'a.jpg') == 'http://host/images/a.jpg'
    assert path_below(f'{root}/', 'sub/a.jpg') == str(root / 'sub' / 'a.jpg')


def test_what_is_no_regular_file(root, tmp_path):
    os.mkfifo(root / 'fifo')
    (root / 'link').symlink_to('fifo')
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / 's'))
        for path, kind in (
            (root / 'fifo', 'a FIFO'), (root / 'link', 'a FIFO'), ('/dev/zero', 'a device'), (root, 'Is a directory'),
            (tmp_path / 's', 'a socket'),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=f"'{path}' is no regular file: {kind}"):
                open_regular(path)
    with pytest.raises(FileNotFoundError, match='absent'):
        open_regular(root / 'absent')


def test_a_file_that_is_swapped_for_a_fifo_while_it_is_opened(root, monkeypatch):
    path = root / 'swapped'
    os.mkfifo(path)
    regular = os.stat(root / 'sub' / 'a.jpg')
    monkeypatch.setattr(files.os, 'stat', lambda name: regular)
    assert stat.S_ISREG(os.stat(path).st_mode)
    with pytest.raises(ValueError, match=r'swapped.* is no regular file: a FIFO'):  # and does not wait for a writer
        open_regular(path)


def test_a_place_for_a_file_is_made_and_what_is_there_stays(tmp_path):
    path = prepare_output(str(tmp_path / 'a' / 'b' / 'out.json'), setting='--json')
    assert path == tmp_path / 'a' / 'b' / 'out.json'
    assert path.parent.is_dir()
    assert not path.exists()
    path.write_text('old')
    prepare_output(path, setting='--json')
    assert path.read_text() == 'old'


def test_a_place_where_no_file_can_be_written(root, monkeypatch):
    with pytest.raises(ValueError, match=r"--json is '.*a\.jpg/x/out', and its folder cannot be made \("):
        prepare_output(root / 'sub' / 'a.jpg' / 'x' / 'out', setting='--json')
    with pytest.raises(ValueError, match=r"--json is '.*/sub', where no file can be written; choose another"):
        prepare_output(root / 'sub', setting='--json')
    asked = []
    monkeypatch.setattr(files.os, 'access', lambda path, mode: asked.append((path, mode)))
    for name, place in (('new', root / 'sub'), ('a.jpg', root / 'sub' / 'a.jpg')):
        with pytest.raises(ValueError, match=rf"--json is '.*/{name}', where no file can be written"):
            prepare_output(root / 'sub' / name, setting='--json')
        assert asked.pop() == (place, os.W_OK)
