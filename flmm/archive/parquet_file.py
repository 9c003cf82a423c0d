"""Parquet with the columns ``image``, ``phrases`` (a list of strings) and, where wanted, ``id``.

``image`` is a path below the image root, the bytes of a file, or, as ``datasets`` writes it, a struct of both.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flmm.archive.arrow import parquet, pyarrow
from flmm.archive.rows import Row, make_row
from flmm.files import open_regular

ROWS_AT_ONCE = 32
"""So many rows are taken together from a row group, which Arrow itself reads as a whole."""
MAX_GROUP_BYTES = 2**31
"""Largest row group that is read, in bytes before compression: it is in memory as a whole."""


def cut(file: Path, rows_per_shard: int) -> list[tuple[int, int, int]]:
    """Cut a file by its row groups, as many as make at least so many rows; a group is never cut itself.

    See :class:`flmm.archive.shards.Format`; in the place of a byte stands the number of the first group.
    """
    parts: list[tuple[int, int, int]] = []
    first = 0
    with open_regular(file) as stream:
        metadata = _opened(stream, file).metadata
        for group in range(metadata.num_row_groups):
            if not parts or parts[-1][1] >= rows_per_shard:
                parts.append((first, 0, group))
            rows = metadata.row_group(group).num_rows
            parts[-1] = (parts[-1][0], parts[-1][1] + rows, parts[-1][2])
            first += rows
    return parts or [(0, 0, 0)]


def read_rows(file: Path, part: tuple[int, int, int], image_root: Path) -> Iterator[Row]:
    """Read some row groups.

    Raises:
        ValueError: the file is damaged, lacks a column, has ids of another type, or a group of too many bytes.
    """
    first, count, group = part
    with open_regular(file) as stream:
        opened = _opened(stream, file)
        names = opened.schema_arrow.names
        absent = [name for name in ('image', 'phrases') if name not in names]
        if absent:
            raise ValueError(f'{str(file)!r} lacks the column {absent[0]!r}; it has {", ".join(names)}')
        _check_ids(opened, file)
        columns = [name for name in ('image', 'phrases', 'id') if name in names]
        number, stop = first, first + count
        while number < stop:
            _check_group(opened, group, file)
            try:
                for batch in opened.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=columns):
                    for index in range(batch.num_rows):
                        place = f'row {number} of {file.name!r}'
                        yield _row(batch.slice(index, 1), place=place, image_root=image_root)
                        number += 1
            except (pyarrow.ArrowException, OSError) as error:
                raise ValueError(f'{str(file)!r} cannot be read ({error}); get it again') from error
            group += 1


def _opened(stream: Any, file: Path) -> Any:
    try:
        return parquet.ParquetFile(stream)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f'{str(file)!r} is no parquet file ({error}); get it again') from error


def _check_ids(opened: Any, file: Path) -> None:
    if 'id' not in opened.schema_arrow.names:
        return
    given = opened.schema_arrow.field('id').type
    kind = given.value_type if pyarrow.types.is_dictionary(given) else given
    allowed = (pyarrow.types.is_string, pyarrow.types.is_large_string, pyarrow.types.is_integer, pyarrow.types.is_null)
    if not any(is_kind(kind) for is_kind in allowed):
        raise ValueError(f"{str(file)!r} has {given} in the column 'id', expected strings or integers; convert it")


def _check_group(opened: Any, group: int, file: Path) -> None:
    if group >= opened.num_row_groups:
        raise ValueError(f'{str(file)!r} has fewer rows than at the beginning; choose another folder')
    size = opened.metadata.row_group(group).total_byte_size
    if size > MAX_GROUP_BYTES:
        raise ValueError(
            f'{str(file)!r} has {size} bytes in row group {group}, at most {MAX_GROUP_BYTES} are read; write smaller '
            'groups, such as by row_group_size of pyarrow.parquet.write_table'
        )


def _row(one: Any, *, place: str, image_root: Path) -> Row:
    """Make a row of a table of one."""
    try:
        fields = one.to_pylist()[0]
    except (ValueError, ArithmeticError, LookupError, pyarrow.ArrowException) as error:
        # Text that is not UTF-8, or a time that Python has no value for.
        return Row(place=place, image_id=place, error=f'{place} cannot be read ({error}); write it again')
    image = fields['image']
    if isinstance(image, dict):
        image = image.get('path') if image.get('bytes') is None else image['bytes']
    if isinstance(image, bytes):
        return make_row(fields, place=place, default_id=place, image=image, image_root=image_root)
    return make_row({**fields, 'image': image}, place=place, default_id=None, image=None, image_root=image_root)
