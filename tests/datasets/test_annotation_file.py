"""Only regular files are opened. What entries and ids must be is tested with the files that hold them."""

import os

import pytest

from flmm.datasets.annotation_file import read_regular_file


def test_file_and_link_are_read(tmp_path):
    (tmp_path / 'file').write_bytes(b'content')
    (tmp_path / 'link').symlink_to(tmp_path / 'file')

    assert read_regular_file(str(tmp_path / 'file'), setting='ann_file') == b'content'
    assert read_regular_file(str(tmp_path / 'link'), setting='ann_file') == b'content'


@pytest.mark.parametrize('kind', ['fifo', 'folder', 'link to a fifo', 'device'])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / 'instances.json'
    if kind == 'fifo':
        os.mkfifo(path)
    elif kind == 'folder':
        path.mkdir()
    elif kind == 'device':
        path = '/dev/zero'
    else:
        os.mkfifo(tmp_path / 'fifo')
        path.symlink_to(tmp_path / 'fifo')

    with pytest.raises(
        ValueError, match=r"ann_file '.*' is no regular file \(a folder, FIFO or device\); name the file"
    ):
        read_regular_file(str(path), setting='ann_file')


def test_dangling_link_is_a_missing_file(tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match=r"split_file '.*link' does not exist; download the RefCOCO annotations there"):
        read_regular_file(str(tmp_path / 'link'), setting='split_file')
