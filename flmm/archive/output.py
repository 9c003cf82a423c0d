"""The rows of the output, and the file that has them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flmm.archive.arrow import parquet, pyarrow
from flmm.archive.rows import Row
from flmm.atomic_write import open_atomic
from flmm.grounder import Grounding
from flmm.plain_text import printable

SCHEMA = pyarrow.schema(
    [
        pyarrow.field('image_id', pyarrow.string(), nullable=False),
        pyarrow.field('phrase_index', pyarrow.int32()),  # from 0; null for an image that could not be read
        pyarrow.field('phrase', pyarrow.string()),
        pyarrow.field('score', pyarrow.float32()),
        pyarrow.field('existence', pyarrow.float32()),
        pyarrow.field('exists', pyarrow.bool_()),
        pyarrow.field('box', pyarrow.list_(pyarrow.int32())),  # COCO's [x, y, width, height] in px
        pyarrow.field('rle', pyarrow.struct([('size', pyarrow.list_(pyarrow.int32())), ('counts', pyarrow.string())])),
        pyarrow.field('status', pyarrow.string(), nullable=False),  # 'ok' or 'error'
        pyarrow.field('error', pyarrow.string()),
        pyarrow.field('fingerprint', pyarrow.string(), nullable=False),
    ]
)
"""The columns. What is unknown is null."""


def error_row(row: Row, message: str, *, index: int | None = None, phrase: Any = None) -> dict[str, Any]:
    """Return the row of an image, or of one of its phrases, that could not be used."""
    return {
        'image_id': row.image_id,
        'phrase_index': index,
        'phrase': printable(phrase) if isinstance(phrase, str) else None,
        'status': 'error',
        'error': printable(message),
    }


def found_rows(row: Row, found: Grounding, indices: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows of the phrases of an image; box and mask are those of :meth:`flmm.grounder.Grounding.to_dict`.

    Args:
        row: the image.
        found: what was found.
        indices: the place of each of its phrases among those of the row.
    """
    return [
        {
            'image_id': row.image_id,
            'phrase_index': index,
            'phrase': said['phrase'],
            'score': said['score'],
            'existence': said['existence'],
            'exists': said['exists'],
            'box': said['bbox'] if said['segmentation'] is not None else None,
            'rle': said['segmentation'],
            'status': 'ok',
        }
        for index, said in zip(indices, found.to_dict()['phrases'], strict=True)
    ]


def check_apart(out: str | os.PathLike, inputs: Sequence[str | os.PathLike]) -> None:
    """Refuse an output folder that is one of the input or lies in it: run again, its files would be input.

    Raises:
        ValueError: it is one.
    """
    folder = Path(out).resolve()
    for given in map(Path, inputs):
        if given.is_dir() and folder.is_relative_to(given.resolve()):
            raise ValueError(f'the output {str(out)!r} is, or lies in, the input {str(given)!r}; choose another folder')


def write_table(path: str | os.PathLike, rows: list[dict[str, Any]], *, fingerprint: str) -> None:
    """Write rows as parquet, by :func:`flmm.atomic_write.open_atomic`; the same rows give the same bytes.

    Raises:
        OSError: they cannot be written.
    """
    table = pyarrow.Table.from_pylist([{**row, 'fingerprint': fingerprint} for row in rows], schema=SCHEMA)
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink, compression='zstd')
    with open_atomic(path) as file:
        file.write(sink.getvalue())


def read_tables(files: Sequence[Path]) -> pyarrow.Table:
    """Read output files one behind the other."""
    return pyarrow.concat_tables([SCHEMA.empty_table(), *(parquet.read_table(file, schema=SCHEMA) for file in files)])
