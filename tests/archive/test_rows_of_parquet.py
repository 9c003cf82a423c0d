"""Columns, groups and values of a parquet file that cannot be used."""

import datetime

import pyarrow
import pyarrow.parquet
import pytest
from archives import png, write_parquet

from flmm.archive import parquet_file


def write(file, **columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file


def read(file, rows=1):
    return list(parquet_file.read_rows(file, (0, rows, 0), file.parent))


@pytest.mark.parametrize(
    ('ids', 'name'),
    [
        (pyarrow.array([2**31 - 1], pyarrow.int32()).cast(pyarrow.date32()), r'date32\[day\]'),
        (pyarrow.array([2**62], pyarrow.int64()).cast(pyarrow.timestamp('us')), r'timestamp\[us\]'),
        (pyarrow.array([2**62], pyarrow.int64()).cast(pyarrow.duration('us')), r'duration\[us\]'),
        (pyarrow.array([1.5]), 'double'),
        (pyarrow.array([True]), 'bool'),
        (pyarrow.array([b'x']), 'binary'),
        (pyarrow.array([[1]]), r'list<.*>'),
    ],
)
def test_ids_of_other_types_are_refused(tmp_path, ids, name):
    file = write(tmp_path / 'a.parquet', id=ids, image=[png(0)], phrases=[['x']])
    with pytest.raises(ValueError, match=rf"a\.parquet' has {name} in the column 'id', expected strings or integers"):
        read(file)


@pytest.mark.parametrize(
    ('ids', 'expected'),
    [
        (pyarrow.array(['seven']), 'seven'),
        (pyarrow.array(['seven'], pyarrow.large_string()), 'seven'),
        (pyarrow.array(['seven']).dictionary_encode(), 'seven'),
        (pyarrow.array([7], pyarrow.uint8()), '7'),
        (pyarrow.nulls(1), "row 0 of 'a.parquet'"),
    ],
)
def test_ids(tmp_path, ids, expected):
    (row,) = read(write(tmp_path / 'a.parquet', id=ids, image=[png(0)], phrases=[['x']]))
    assert (row.image_id, row.error) == (expected, None)


def test_values_that_cannot_be_converted_spoil_no_other_row(tmp_path):
    phrases = pyarrow.array([[b'a'], [b'\xff'], [b'c']]).cast(pyarrow.list_(pyarrow.binary()))
    text = pyarrow.Array.from_buffers(pyarrow.string(), 3, phrases.values.buffers())
    lists = pyarrow.ListArray.from_arrays(pyarrow.array([0, 1, 2, 3], pyarrow.int32()), text)
    first, second, third = read(write(tmp_path / 'a.parquet', image=[png(0)] * 3, phrases=lists), rows=3)
    assert (first.phrases, third.phrases) == (('a',), ('c',))
    assert first.error is third.error is None
    assert (second.image_id, second.image) == ("row 1 of 'a.parquet'", None)
    assert second.error.startswith("row 1 of 'a.parquet' cannot be read ('utf-8' codec can't decode byte 0xff")


def test_an_image_of_another_type_is_an_error_of_its_row(tmp_path):
    dates = pyarrow.array([2**31 - 1, 0], pyarrow.int32()).cast(pyarrow.date32())
    first, second = read(write(tmp_path / 'a.parquet', image=dates, phrases=[['x'], ['x']]), rows=2)
    assert first.error.startswith("row 0 of 'a.parquet' cannot be read (")
    assert f'path {datetime.date(1970, 1, 1)!r} is no name of a file' in second.error


def test_large_groups_are_refused(tmp_path, monkeypatch):
    file = write_parquet(tmp_path / 'a.parquet', 3, rows_per_group=2)
    metadata = pyarrow.parquet.read_metadata(file)
    sizes = [metadata.row_group(group).total_byte_size for group in (0, 1)]
    monkeypatch.setattr(parquet_file, 'MAX_GROUP_BYTES', sizes[0])
    assert len(read(file, rows=3)) == 3
    monkeypatch.setattr(parquet_file, 'MAX_GROUP_BYTES', sizes[0] - 1)
    with pytest.raises(
        ValueError,
        match=rf"a\.parquet' has {sizes[0]} bytes in row group 0, at most {sizes[0] - 1} are read; write smaller",
    ):
        read(file, rows=3)


def test_a_file_of_fewer_rows_than_were_counted_is_refused(tmp_path):
    file = write_parquet(tmp_path / 'a.parquet', 3, rows_per_group=2)
    with pytest.raises(ValueError, match=r"a\.parquet' has fewer rows than at the beginning"):
        read(file, rows=4)
