"""How files of annotations are read. What entries and ids must be is tested with the files that hold them."""

import bz2
import gzip
import io
import json
import lzma
import os
import re
import zipfile

import pytest

from flmm.json_files import read_json, read_json_lines, read_regular_file


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
    with pytest.raises(ValueError, match=r"split_file '.*link' does not exist; put it there"):
        read_regular_file(str(tmp_path / 'link'), setting='split_file')


def test_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr('flmm.json_files.open_regular', refuse)  # root may read whatever its mode
    with pytest.raises(ValueError, match=r"ann_file 'a\.json' cannot be read \(.*Permission denied\); check its perm"):
        read_regular_file('a.json', setting='ann_file')


def zipped(content):
    with zipfile.ZipFile(file := io.BytesIO(), 'w') as archive:
        archive.writestr('instances.json', content)
    return file.getvalue()


@pytest.mark.parametrize(
    ('compress', 'kind'), [(gzip.compress, 'gzip'), (bz2.compress, 'bzip2'), (lzma.compress, 'xz'), (zipped, 'zip')]
)
def test_compressed_files_are_recognised(tmp_path, compress, kind):
    (tmp_path / 'file').write_bytes(compress(b'[1]'))
    with pytest.raises(ValueError, match=rf"ann_file '.*file' is compressed \({kind}\); unpack it"):
        read_regular_file(str(tmp_path / 'file'), setting='ann_file')


@pytest.fixture
def write(tmp_path):
    def write(content, encoding='utf-8'):
        path = tmp_path / 'a.json'
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return str(path)

    return write


VALUE = {'name': 'Café 狗\u2028', 'sizes': [1, 2.5, None, True], 'empty': {}}


@pytest.mark.parametrize(
    'encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'utf-32', 'utf-32-le', 'utf-32-be']
)
@pytest.mark.parametrize('line_end', ['\n', '\r\n', '\r'])
def test_any_unicode_and_line_ends_are_read(write, encoding, line_end):
    text = json.dumps(VALUE, ensure_ascii=False, indent=1).replace('\n', line_end)
    assert read_json(write(text, encoding), setting='ann_file') == VALUE


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'is not JSON (it is empty); mend it, or get it again'),
        (' \r\n', 'is not JSON (it is empty); mend it, or get it again'),
        (
            '{"images": [{"id": 1}, {"i',
            'is not JSON (Unterminated string starting at: line 1 column 25 (char 24)); mend it, or get it again',
        ),
        (
            '<!DOCTYPE html>',
            "is not JSON (Expecting value: line 1 column 1 (char 0); it begins with '<!DOCTYPE html>'); mend",
        ),
        ('[1]]', 'is not JSON (Extra data: line 1 column 4 (char 3)); mend it, or get it again'),
        ('[1][', 'is not JSON (Extra data: line 1 column 4 (char 3)); mend it, or get it again'),
        ('"Café"'.encode('latin-1'), "is not JSON ('utf-8' codec can't decode byte 0xe9 in position 4"),
        (
            b'\xff\xfe1',
            "is not JSON ('utf-16-le' codec can't decode byte 0x31 in position 2: truncated data); save",
        ),
        ('[' * 100_000, 'is not JSON (maximum recursion depth exceeded'),
        ('9' * 5000, 'is not JSON (Exceeds the limit (4300 digits)'),
        ('NaN', 'is not JSON (NaN at its top); mend that'),
        ('[{"a": 1.5, "b": [[0, -Infinity], NaN]}]', 'is not JSON (-Infinity at [0].b[0][1]); mend that'),
        (
            '{"images": [], "annotations": [{"id": 7, "id": 8}]}',
            "has an object with the key 'id' twice ({'id': 8}); JSON would keep the last alone, so remove one",
        ),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_not_json_is_named_with_the_reason(write, content, message):
    path = write(content)
    with pytest.raises(ValueError, match=re.escape(f'ann_file {path!r} {message}')):
        read_json(path, setting='ann_file')


@pytest.mark.parametrize('line_end', ['\n', '\r\n'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_json_lines(write, encoding, line_end):
    line = json.dumps(VALUE, ensure_ascii=False)
    path = write(line_end.join([line, '', ' ', '3', '']), encoding)

    assert list(read_json_lines(path, setting='ann_file')) == [
        (f'line 1 of ann_file {path!r}', VALUE),
        (f'line 4 of ann_file {path!r}', 3),
    ]


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('{"a": 1', "is not JSON (Expecting ',' delimiter: line 1 column 8 (char 7)); mend"),
        ('{} {}', 'is not JSON (Extra data: line 1 column 4'),
        ('[NaN]', 'is not JSON (NaN at [0]); mend that'),
        ('{"a": 1, "a": 2}', "has an object with the key 'a' twice"),
    ],
)
def test_broken_line_is_named(write, line, message):
    path = write(f'{{}}\n\n{line}\n{{}}\n')
    lines = read_json_lines(path, setting='ann_file')

    assert next(lines) == (f'line 1 of ann_file {path!r}', {})
    with pytest.raises(ValueError, match=re.escape(f'line 3 of ann_file {path!r} {message}')):
        next(lines)
