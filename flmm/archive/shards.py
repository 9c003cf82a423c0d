"""What the work is cut into: a shard is a file of the input, or some rows of one, and gives one file of output."""

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flmm.archive import json_lines_file, parquet_file, tar_file
from flmm.archive.rows import Row


class Format(Protocol):
    """What a module says of its kind of file."""

    def cut(self, file: Path, rows_per_shard: int) -> list[tuple[int, int, int]]:
        """Cut a file into (first row, number of rows, byte where they begin), all counted from 0."""

    def read_rows(self, file: Path, part: tuple[int, int, int], image_root: Path) -> Iterator[Row]:
        """Read the rows of one such part."""


FORMATS: dict[str, Format] = {'.jsonl': json_lines_file, '.parquet': parquet_file, '.tar': tar_file}
"""By the end of a file's name."""
UNREADABLE = (0, -1, 0)
"""The one part of a file that could not be read when it was to be cut."""


@dataclass(kw_only=True, frozen=True)
class Shard:
    """A part of the input.

    Args:
        name: of its output, without the suffix.
        file: where its rows lie.
        part: the first row, how many there are, and the byte where they begin. A tar is one shard: (0, 0, 0). That of
            a file that could not be cut is :data:`UNREADABLE`.
    """

    name: str
    file: Path
    part: tuple[int, int, int]

    def read_rows(self, image_root: Path | None) -> Iterator[Row]:
        """Read its rows, in order.

        Args:
            image_root: folder of the images that rows name; None takes that of the file.

        Raises:
            ValueError: the file cannot be read.
            OSError: likewise.
        """
        kind = FORMATS[self.file.suffix]
        if self.part == UNREADABLE:
            kind.cut(self.file, 1)  # says why
            raise ValueError(
                f'{str(self.file)!r} could not be read at the beginning, now it can; choose another folder'
            )
        root = self.file.parent if image_root is None else image_root
        return kind.read_rows(self.file, self.part, root)


def list_files(inputs: Sequence[str | Path]) -> list[Path]:
    """List the files of an archive, sorted by name, wherever each lies.

    Args:
        inputs: files, and folders whose files of :data:`FORMATS` are taken, those of folders in them not.

    Raises:
        ValueError: one is not there or of no known format, two have the same name, or there is none.
    """
    files: list[Path] = []
    for given in map(Path, inputs):
        if given.is_dir():
            files += [file for file in given.iterdir() if file.suffix in FORMATS]
        elif given.suffix not in FORMATS:
            raise ValueError(f'input {str(given)!r} is no folder, and ends in none of {", ".join(FORMATS)}')
        elif not given.is_file():
            raise ValueError(f'input {str(given)!r} does not exist, or is no regular file')
        else:
            files.append(given)
    if not files:
        raise ValueError(f'input {[str(given) for given in inputs]} has no file that ends in {", ".join(FORMATS)}')
    for file in files:
        if not os.path.exists(file):
            raise ValueError(f'input {str(file)!r} is a link to what is not there; mend or remove it')
    files.sort(key=lambda file: file.name)
    for one, other in itertools.pairwise(files):
        if one.name == other.name:
            raise ValueError(
                f'inputs {str(one)!r} and {str(other)!r} have the same name, and so would their output; rename one'
            )
    return files


def cut(file: Path, rows_per_shard: int) -> list[tuple[int, int, int]]:
    """Cut a file into parts; one that cannot be read is a part, whose shard fails and says why, and stops no other."""
    try:
        return FORMATS[file.suffix].cut(file, rows_per_shard)
    except (OSError, ValueError):
        return [UNREADABLE]


def shards_of(file: Path, parts: Sequence[Sequence[int]]) -> list[Shard]:
    """Name the shards of a file: that of a whole file as the file, others with a number behind it."""
    if len(parts) == 1:
        return [Shard(name=file.name, file=file, part=tuple(parts[0]))]
    return [Shard(name=f'{file.name}-{number:06d}', file=file, part=tuple(part)) for number, part in enumerate(parts)]
