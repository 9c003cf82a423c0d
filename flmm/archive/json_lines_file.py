"""JSON lines: an object a line, with ``image`` (a path), ``phrases`` and, where wanted, ``id``. Blank lines count for
nothing.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from flmm.archive.rows import Row, make_row
from flmm.files import open_regular
from flmm.json_files import parse_json

MAX_LINE_BYTES = 2**24
"""Longest line that is read, in bytes."""


def cut(file: Path, rows_per_shard: int) -> list[tuple[int, int, int]]:
    """Cut the lines of a file; see :class:`flmm.archive.shards.Format`."""
    parts: list[tuple[int, int, int]] = []
    for number, (offset, _) in enumerate(_lines(file, 0)):
        if number % rows_per_shard == 0:
            parts.append((number, 0, offset))
        parts[-1] = (parts[-1][0], parts[-1][1] + 1, parts[-1][2])
    return parts or [(0, 0, 0)]


def read_rows(file: Path, part: tuple[int, int, int], image_root: Path) -> Iterator[Row]:
    """Read some lines; one that is not JSON is a row with an error."""
    first, count, offset = part
    for number, (_, line) in enumerate(islice(_lines(file, offset), count), start=first):
        place = f'row {number} of {file.name!r}'
        try:
            if len(line) >= MAX_LINE_BYTES:
                raise ValueError(f'{place} has more than {MAX_LINE_BYTES} bytes')
            fields = parse_json(line, where=place)
        except ValueError as error:
            yield Row(place=place, image_id=place, error=str(error))
            continue
        yield make_row(fields, place=place, default_id=None, image=None, image_root=image_root)


def _lines(file: Path, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield lines that are not blank, and where each begins; of one that is too long the beginning."""
    with open_regular(file) as stream:
        stream.seek(offset)
        while line := stream.readline(MAX_LINE_BYTES):
            start, length = offset, len(line)
            rest = line
            while not rest.endswith(b'\n') and (rest := stream.readline(MAX_LINE_BYTES)):
                length += len(rest)
            offset += length
            if line.strip():
                yield start, line
