import hashlib
import os

import pytest

from flmm.features import file_state
from flmm.features.file_state import FileState, compare_files


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'12345')
    return str(path)


def test_a_state_is_size_time_stamp_and_content(path):
    os.utime(path, ns=(0, 1234567890123456789))
    sha256 = '5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5'
    assert FileState.read(path) == FileState(size=5, mtime_ns=1234567890123456789, sha256=sha256)


def test_content_is_read_in_chunks(path, monkeypatch):
    monkeypatch.setattr(file_state, 'CHUNK', 2)
    assert file_state.sha256_of(path) == hashlib.sha256(b'12345').hexdigest()


def test_only_files_of_another_time_stamp_are_read(path, monkeypatch):
    state, read = FileState.read(path), []
    monkeypatch.setattr(file_state, 'sha256_of', lambda path: read.append(path) or state.sha256)
    assert compare_files([(path, state)]).changed == {}
    assert read == []
    os.utime(path, ns=(0, 0))
    assert compare_files([(path, state)]).changed == {}
    assert read == [path]
    os.utime(path, ns=(0, state.mtime_ns))
    assert compare_files([(path, state)], content=True).changed == {}
    assert read == [path, path]


def test_what_has_become_of_each_file_is_said(tmp_path, path):
    states = {name: tmp_path / name for name in ('same', 'longer', 'other', 'gone', 'folder')}
    for file in states.values():
        file.write_bytes(b'12345')
    states = {str(file): FileState.read(str(file)) for file in states.values()}
    (tmp_path / 'longer').write_bytes(b'123456')
    (tmp_path / 'other').write_bytes(b'54321')
    (tmp_path / 'gone').unlink()
    (tmp_path / 'folder').unlink()
    os.mkfifo(tmp_path / 'folder')  # which would be waited for
    found = compare_files(states.items())
    assert found.changed == {
        str(tmp_path / 'longer'): 'has 6 bytes, not 5',
        str(tmp_path / 'other'): 'has another content of the same size',
        str(tmp_path / 'folder'): 'is no regular file',
    }
    assert found.absent == {str(tmp_path / 'gone'): 'does not exist'}


def test_what_cannot_be_read_is_named(tmp_path, path):
    with pytest.raises(ValueError, match=r"none' does not exist; check data_root and data_prefix"):
        FileState.read(str(tmp_path / 'none'))
    with pytest.raises(ValueError, match=r"' is no regular file; check data_root"):
        FileState.read(str(tmp_path))
    with pytest.raises(ValueError, match=r"a\.bin/b' cannot be read \(.*Not a directory"):
        FileState.read(f'{path}/b')
    state = FileState.read(path)
    assert 'Not a directory' in compare_files([(f'{path}/b', state)]).absent[f'{path}/b']


def test_remote_files_are_compared_by_content_only(monkeypatch):
    contents = {'s3://bucket/a': b'12345', 'local/path': b'abc'}
    asked = []

    def get(path, backend_args):
        asked.append((path, backend_args))
        return contents[path]

    monkeypatch.setattr(file_state.fileio, 'get', get)
    petrel = {'backend': 'petrel', 'path_mapping': {'local/': 's3://bucket/'}}
    states = [('s3://bucket/a', FileState.read('s3://bucket/a'))]
    mapped = [('local/path', FileState.read('local/path', backend_args=petrel))]
    assert states[0][1] == FileState(size=5, mtime_ns=None, sha256=hashlib.sha256(b'12345').hexdigest())
    assert asked == [('s3://bucket/a', None), ('local/path', petrel)]
    contents.update({'s3://bucket/a': b'54321', 'local/path': b'cba'})
    assert compare_files(states).changed == compare_files(mapped, backend_args=petrel).changed == {}
    assert len(asked) == 2
    changed = {'s3://bucket/a': 'has another content of the same size'}
    assert compare_files(states, content=True).changed == changed
    assert list(compare_files(mapped, content=True, backend_args=petrel).changed) == ['local/path']


def test_a_file_that_was_remote_and_now_is_local_is_read(path):
    state = FileState(size=5, mtime_ns=None, sha256=hashlib.sha256(b'12345').hexdigest())
    assert compare_files([(path, state)]).changed == {}
    with open(path, 'wb') as stream:
        stream.write(b'54321')
    assert list(compare_files([(path, state)]).changed) == [path]
