"""Rows are what Grounder says one by one, whatever the format; what is wrong is a row; nothing is done twice."""

import errno
import json
import os
import re
import struct
import tarfile
import zlib

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from archives import (
    archive_grounder,
    open_folder,
    png,
    rows,
    write_json_lines,
    write_parquet,
    write_tar,
    write_tar_of_rows,
)
from PIL import Image

from flmm.archive import Annotator, read_ahead
from flmm.archive.folder import read_archive
from flmm.archive.made_by import made_by
from flmm.models.finite import NonFiniteError
from flmm.rle import decode_masks

COUNT = 11


@pytest.fixture(scope='module')
def json_lines(tmp_path_factory):
    return write_json_lines(tmp_path_factory.mktemp('lines') / 'a.jsonl', COUNT)


def annotate(out, inputs, grounder, *, num_workers=0, batch_size=4, rows_per_shard=4, image_root=None):
    folder = open_folder(out, inputs, grounder, rows_per_shard=rows_per_shard)
    annotator = Annotator(grounder=grounder, batch_size=batch_size, num_workers=num_workers, image_root=image_root)
    return annotator.annotate(folder)


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_rows_are_what_the_grounder_says_one_by_one(grounder, json_lines, tmp_path):
    """Masks to the last pixel, numbers but for what a batch rounds."""
    report = annotate(tmp_path, [json_lines], grounder)
    assert (report.shards, report.images, report.errors, report.failed) == (3, COUNT, 0, {})
    found = read_archive(tmp_path).to_pylist()
    number = 0
    for image_id, image, phrases in rows(COUNT):
        expected = grounder.read(image).ground(phrases)
        for index, (phrase, mask) in enumerate(zip(phrases, expected.masks.numpy(), strict=True)):
            row = found[number]
            number += 1
            assert (row['image_id'], row['phrase_index'], row['phrase'], row['status']) == (
                image_id,
                index,
                phrase,
                'ok',
            )
            assert row['error'] is row['existence'] is row['exists'] is None
            assert row['score'] == pytest.approx(float(expected.scores[index]), abs=1e-5)
            if not mask.any():
                assert row['rle'] is row['box'] is None
                continue
            assert np.array_equal(decode_masks([row['rle']])[0], mask)
            x, y, width, height = row['box']
            assert [x, y, x + width, y + height] == expected.boxes[index].tolist()
    assert number == len(found)
    assert sum(row['rle'] is not None for row in found) > COUNT // 2


def test_existence_is_told(tmp_path):
    grounder = archive_grounder(tmp_path / 'frozen', existence={'type': 'ExistenceHead'})
    annotate(tmp_path / 'out', [write_json_lines(tmp_path / 'a.jsonl', 2)], grounder)
    found = read_archive(tmp_path / 'out').to_pylist()
    expected = grounder.read(png(0)).ground(rows(1)[0][2])
    for row, existence, exists in zip(found, expected.existence.tolist(), expected.exists.tolist(), strict=False):
        assert row['existence'] == pytest.approx(existence, abs=1e-5)
        assert row['exists'] is exists
        assert (row['rle'] is None) == (not exists)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_all_formats_give_the_same_rows(grounder, json_lines, tmp_path, num_workers):
    """With shards of the same rows to the last bit."""
    annotate(tmp_path / 'lines', [json_lines], grounder)
    expected = read_archive(tmp_path / 'lines')
    parquet = write_parquet(tmp_path / 'b.parquet', COUNT, rows_per_group=2)
    annotate(tmp_path / 'parquet', [parquet], grounder, num_workers=num_workers)
    assert sorted(path.name for path in (tmp_path / 'parquet').glob('*.parquet')) == [
        'b.parquet-000000.parquet', 'b.parquet-000001.parquet', 'b.parquet-000002.parquet',
    ]  # fmt: skip
    assert read_archive(tmp_path / 'parquet').equals(expected)

    annotate(tmp_path / 'whole', [json_lines], grounder, rows_per_shard=100)
    tar = write_tar_of_rows(tmp_path / 'c.tar', COUNT)
    annotate(tmp_path / 'tar', [tar], grounder, num_workers=num_workers)
    assert [path.name for path in (tmp_path / 'tar').glob('*.parquet')] == ['c.tar.parquet']
    assert read_archive(tmp_path / 'tar').equals(read_archive(tmp_path / 'whole'))


def test_batches_change_no_mask(grounder, json_lines, tmp_path):
    one, other = tmp_path / 'one', tmp_path / 'other'
    annotate(one, [json_lines], grounder, batch_size=1)
    annotate(other, [json_lines], grounder, batch_size=8)
    one, other = read_archive(one), read_archive(other)
    same = [name for name in one.column_names if name != 'score']
    assert one.select(same).equals(other.select(same))
    np.testing.assert_allclose(one['score'], other['score'], rtol=0, atol=1e-5)


def test_running_again_does_what_is_missing_alone(grounder, json_lines, tmp_path):
    annotate(tmp_path, [json_lines], grounder)
    whole = contents(tmp_path)
    kept = (tmp_path / 'a.jsonl-000000.parquet').stat().st_mtime_ns
    (tmp_path / 'a.jsonl-000001.parquet').unlink()
    (tmp_path / 'a.jsonl-000001.parquet.0a1b.unfinished').write_bytes(b'as if killed')
    report = annotate(tmp_path, [json_lines], grounder)
    assert (report.shards, report.images) == (1, 4)
    assert contents(tmp_path) == whole
    assert (tmp_path / 'a.jsonl-000000.parquet').stat().st_mtime_ns == kept
    assert annotate(tmp_path, [json_lines], grounder).shards == 0


BAD_ROWS = [
    ('[1]', 'row 0 of', r'row 0 of .* is \[1\], expected an object'),
    ('{"image": "0.png", "phrases": []}', '0.png', 'has \\[\\] for phrases, expected a list of strings'),
    ('{"image": "0.png", "phrases": "a cat"}', '0.png', "has 'a cat' for phrases"),
    ('{"image": "0.png", "phrases": ["x"], "id": [1]}', '0.png', 'has the id \\[1\\], expected a string or an integer'),
    ('{"image": "0.png", "phrases": ["x"], "id": "\\ud83d"}', '0.png', 'is no Unicode text'),
    ('{"image": "../0.png", "phrases": ["x"], "id": 7}', 'row 0 of', 'goes up by'),
    ('{"image": "/etc/passwd", "phrases": ["x"]}', 'row 0 of', 'is absolute'),
    ('{"image": "link.png", "phrases": ["x"]}', 'row 0 of', 'leads out of .* through a link'),
    ('{"image": 5, "phrases": ["x"]}', 'row 0 of', 'path 5 is no name of a file'),
    ('{"phrases": ["x"]}', 'row 0 of', 'path None is no name of a file'),
    ('{"image": "absent.png", "phrases": ["x"]}', 'absent.png', 'cannot be read \\(it does not exist\\)'),
    ('{"image": "broken.png", "phrases": ["x"]}', 'broken.png', 'cannot be read'),
    ('{"image": "thin.png", "phrases": ["x"]}', 'thin.png', 'aspect ratio'),
    ('{"image": "bomb.png", "phrases": ["x"]}', 'bomb.png', '40000x40000|pixels'),
    ('{"image": "0.png", "phrases": ["x"', 'row 0 of', 'is not JSON'),
    ('{"image": "0.png", "image": "1.png", "phrases": ["x"]}', 'row 0 of', "key 'image' twice"),
]  # fmt: skip


@pytest.fixture(scope='module')
def bad_images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('bad') / 'root'
    folder.mkdir()
    (folder.parent / 'outside.png').write_bytes(png(0))
    (folder / 'link.png').symlink_to(folder.parent / 'outside.png')
    (folder / '0.png').write_bytes(png(0))
    (folder / 'broken.png').write_bytes(png(1)[:200])
    Image.new('RGB', (900, 3)).save(folder / 'thin.png')
    header = struct.pack('>IIBBBBB', 40000, 40000, 8, 2, 0, 0, 0)
    chunk = struct.pack('>I', 13) + b'IHDR' + header + struct.pack('>I', zlib.crc32(b'IHDR' + header))
    (folder / 'bomb.png').write_bytes(b'\x89PNG\r\n\x1a\n' + chunk + png(0)[33:])
    return folder


@pytest.mark.parametrize(('line', 'image_id', 'message'), BAD_ROWS)
def test_a_bad_row_is_a_row_with_its_error(grounder, bad_images, tmp_path, line, image_id, message):
    (tmp_path / 'a.jsonl').write_text(line + '\n\n{"image": "0.png", "phrases": ["x"]}\n')
    report = annotate(tmp_path / 'out', [tmp_path / 'a.jsonl'], grounder, image_root=bad_images)
    bad, good = read_archive(tmp_path / 'out').to_pylist()
    assert (report.errors, report.failed) == (1, {})
    assert (bad['status'], good['status'], good['image_id']) == ('error', 'ok', '0.png')
    assert bad['image_id'].startswith(image_id)
    assert {bad[name] for name in ('phrase', 'phrase_index', 'score', 'rle')} == {None} or bad['phrase'] == 'x'
    with pytest.raises(ValueError, match=message):
        raise ValueError(bad['error'])


def test_a_bad_phrase_spoils_no_other(grounder, tmp_path):
    (tmp_path / '0.png').write_bytes(png(0))
    (tmp_path / 'a.jsonl').write_text(json.dumps({'image': '0.png', 'phrases': ['?!', 'dog', 5, 'a cat']}))
    annotate(tmp_path / 'out', [tmp_path / 'a.jsonl'], grounder)
    found = read_archive(tmp_path / 'out').to_pylist()
    assert [(row['phrase_index'], row['phrase'], row['status']) for row in found] == [
        (0, '?!', 'error'), (1, 'dog', 'ok'), (2, None, 'error'), (3, 'a cat', 'ok'),
    ]  # fmt: skip
    assert found[0]['error'].startswith("row 0 of 'a.jsonl': phrase '?!' has no letter or digit")
    assert 'of type int, expected a string' in found[2]['error']
    expected = grounder.read(png(0)).ground(['dog', 'a cat'])
    assert [found[1]['score'], found[3]['score']] == pytest.approx(expected.scores.tolist(), abs=1e-5)


def test_a_shard_that_cannot_be_read_stops_no_other(grounder, json_lines, tmp_path):
    write_tar_of_rows(tmp_path / 'b.tar', 6)
    whole = (tmp_path / 'b.tar').read_bytes()
    (tmp_path / 'b.tar').write_bytes(whole[: len(whole) // 2 // 512 * 512])
    (tmp_path / 'c.parquet').write_bytes(b'PAR1 no parquet')
    write_tar_of_rows(tmp_path / 'd.tar', 2)
    report = annotate(tmp_path / 'out', [tmp_path, json_lines], grounder)
    assert report.shards == 4
    assert list(report.failed) == ['b.tar', 'c.parquet']
    assert re.search(r'b\.tar.*it is cut off|b\.tar.*unexpected end', report.failed['b.tar'])
    assert "c.parquet' is no parquet file" in report.failed['c.parquet']
    assert not (tmp_path / 'out' / 'b.tar.parquet').exists()
    (tmp_path / 'b.tar').write_bytes(whole[: len(whole) // 2 // 512 * 512])
    assert list(annotate(tmp_path / 'out', [tmp_path, json_lines], grounder).failed) == ['b.tar', 'c.parquet']


def test_parquet_that_lacks_a_column(grounder, tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({'image': ['0.png'], 'text': ['a cat']}), tmp_path / 'a.parquet')
    report = annotate(tmp_path / 'out', [tmp_path / 'a.parquet'], grounder)
    assert "lacks the column 'phrases'; it has image, text" in report.failed['a.parquet']


def test_a_full_disk_is_an_error_and_leaves_what_was_there(grounder, json_lines, tmp_path, monkeypatch):
    annotate(tmp_path / 'whole', [json_lines], grounder)
    flushes = []
    fsync = os.fsync

    def full(descriptor):
        flushes.append(descriptor)
        if len(flushes) > 4:  # annotate.json and the first shard, each with its folder
            raise OSError(errno.ENOSPC, 'No space left on device')
        fsync(descriptor)

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match=r'No space left on device; nothing was written.*a\.jsonl-000001\.parquet'):
        annotate(tmp_path / 'out', [json_lines], grounder)
    monkeypatch.undo()
    assert sorted(contents(tmp_path / 'out')) == ['.annotate.lock', 'a.jsonl-000000.parquet', 'annotate.json']
    assert annotate(tmp_path / 'out', [json_lines], grounder).shards == 2
    assert contents(tmp_path / 'out') == contents(tmp_path / 'whole')


def test_a_batch_that_the_model_refuses_is_tried_image_by_image(grounder, json_lines, tmp_path, monkeypatch):
    annotate(tmp_path / 'whole', [json_lines], grounder, batch_size=1)
    run = type(grounder.model).forward

    def refuse(self, samples, **kwargs):
        if any('row 1 of' in sample.image_path for sample in samples):
            raise NonFiniteError("image 'row 1 of a.jsonl': the mask head gave nan")
        return run(self, samples, **kwargs)

    monkeypatch.setattr(type(grounder.model), 'forward', refuse)
    annotate(tmp_path / 'out', [json_lines], grounder)
    found, whole = (read_archive(tmp_path / name).to_pylist() for name in ('out', 'whole'))
    assert [row['error'] for row in found if row['image_id'] == 'image 1'] == [
        "image 'row 1 of a.jsonl': the mask head gave nan"
    ]
    others = [[row for row in each if row['image_id'] != 'image 1'] for each in (found, whole)]
    assert [row['rle'] for row in others[0]] == [row['rle'] for row in others[1]]


@pytest.mark.parametrize('error', [torch.OutOfMemoryError('CUDA out of memory'), MemoryError()])
def test_an_image_that_takes_more_memory_than_there_is(grounder, json_lines, tmp_path, monkeypatch, error):
    """Is a row; images that share its batch are grounded."""
    run = type(grounder.model).forward

    def full(self, samples, **kwargs):
        if len(samples) > 3 or any('row 1 of' in sample.image_path for sample in samples):
            raise error
        return run(self, samples, **kwargs)

    monkeypatch.setattr(type(grounder.model), 'forward', full)
    report = annotate(tmp_path, [json_lines], grounder)
    found = read_archive(tmp_path).to_pylist()
    assert (report.shards, report.errors, report.failed) == (3, 1, {})
    assert [row['error'] for row in found if row['status'] == 'error'] == [
        f"row 1 of 'a.jsonl' takes more memory than there is ({str(error) or 'MemoryError'})"
    ]
    assert len({row['image_id'] for row in found}) == COUNT


def test_too_many_phrases_are_a_row(grounder, tmp_path, monkeypatch):
    monkeypatch.setattr(read_ahead, 'MAX_PHRASES', 3)
    (tmp_path / '0.png').write_bytes(png(0))
    lines = [json.dumps({'image': '0.png', 'phrases': ['a cat'] * count}) for count in (4, 3)]
    (tmp_path / 'a.jsonl').write_text('\n'.join(lines))
    annotate(tmp_path / 'out', [tmp_path / 'a.jsonl'], grounder)
    found = read_archive(tmp_path / 'out').to_pylist()
    assert [row['error'] for row in found] == [
        "row 0 of 'a.jsonl' has 4 phrases, at most 3 are grounded; cut the row", None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize('number', [errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE])
def test_a_fault_of_the_storage_is_no_output(grounder, tmp_path, monkeypatch, number):
    lines = write_json_lines(tmp_path / 'a.jsonl', 8)
    with monkeypatch.context() as patched:
        stat = os.stat

        def fail(path, *args, **kwargs):
            if str(path).endswith('/5.png'):
                raise OSError(number, os.strerror(number), str(path))
            return stat(path, *args, **kwargs)

        patched.setattr(os, 'stat', fail)
        report = annotate(tmp_path / 'out', [lines], grounder)
    assert (report.shards, report.errors) == (1, 0)
    (message,) = report.failed.values()
    assert "row 5 of 'a.jsonl'" in message
    assert f'[Errno {int(number)}] {os.strerror(number)}' in message
    assert annotate(tmp_path / 'out', [lines], grounder).shards == 1
    assert {row['status'] for row in read_archive(tmp_path / 'out').to_pylist()} == {'ok'}


def test_another_image_root_is_no_output(grounder, json_lines, tmp_path):
    (tmp_path / 'root').mkdir()
    report = annotate(tmp_path / 'out', [json_lines], grounder, image_root=tmp_path / 'root', rows_per_shard=100)
    assert report.failed == {
        'a.jsonl': f"none of the {COUNT} files of its images is there, such as that of 'image 0'; is the folder "
        'mounted, and --image-root (image_root) the right one?'
    }
    assert not list((tmp_path / 'out').glob('*.parquet'))


def test_speed_makes_no_other_model(grounder, monkeypatch):
    before = made_by(grounder)
    model = grounder.config['model']
    lmm = {**model['lmm'], 'device_map': 'auto'}
    monkeypatch.setitem(grounder.config, 'model', {**model, 'lmm': lmm, 'compiled': {}, 'decode_budget': 7})
    assert made_by(grounder) == before
    monkeypatch.setitem(grounder.config, 'model', {**model, 'lmm': {**lmm, 'dtype': 'other'}})
    assert made_by(grounder) != before


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'batch_size': 0}, 'batch_size is 0, expected a whole number from 1 on'),
        ({'max_tokens': 2.5}, r'max_tokens is 2\.5, expected'),
        ({'num_workers': -1}, 'num_workers is -1, expected a whole number from 0 on'),
        ({'image_root': '/nowhere'}, "image_root is '/nowhere', which is no folder"),
    ],
)
def test_settings_out_of_range(grounder, settings, message):
    with pytest.raises(ValueError, match=message):
        Annotator(grounder=grounder, **settings)


def test_members_of_a_tar_that_are_no_rows(grounder, tmp_path):
    good = [('good.png', png(0)), ('good.json', b'{"phrases": ["x"]}'), ('good.txt', b'passed over')]
    alone = [('alone.png', png(1)), ('wordless.json', b'{"phrases": ["x"]}')]
    climbs = [('../up.png', png(1)), ('../up.json', b'{"phrases": ["x"]}')]
    twice = [('twice.png', png(1)), ('twice.jpg', png(1)), ('twice.json', b'{"phrases": ["x"]}')]
    file = write_tar(tmp_path / 'a.tar', [*alone, *climbs, *twice, ('bad.png', png(2)), ('bad.json', b'{'), *good])
    with tarfile.open(file, 'a') as archive:
        link = tarfile.TarInfo('link.png')
        link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
        archive.addfile(link)
    annotate(tmp_path / 'out', [file], grounder)
    found = {row['image_id']: (row['status'], row['error']) for row in read_archive(tmp_path / 'out').to_pylist()}
    messages = {
        'alone': 'there is no json', 'wordless': 'there is no image', '../up': 'goes up by',
        'twice': 'is a second image', 'bad': 'its json is not JSON', 'link': 'is a link or another thing than a file',
    }  # fmt: skip
    assert found.pop('good') == ('ok', None)
    assert found.keys() == messages.keys()
    for key, message in messages.items():
        assert message in found[key][1]
        assert f"key '{key}' of 'a.tar'" in found[key][1]
