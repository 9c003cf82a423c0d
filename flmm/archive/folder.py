"""The folder that an archive's output is in: ``annotate.json`` says what of, and each shard is a file or not there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flmm.archive.arrow import pyarrow
from flmm.archive.claims import Claims
from flmm.archive.made_by import short
from flmm.archive.output import read_tables, write_table
from flmm.archive.shards import cut, shards_of
from flmm.atomic_write import UNFINISHED, write_json
from flmm.features.made_with import first_difference
from flmm.json_files import read_json

DOCUMENT = 'annotate.json'
FORMAT_VERSION = 2  # 1 had five digits in the names of shards


class ArchiveFolder:
    """Output of one model on one input; any other is refused.

    Args:
        folder: made if it is not there.
        files: the input, as :func:`flmm.archive.list_files` lists it. They may have been moved, not changed: they are
            known by name and number of bytes.
        made_by: what the rows depend on beside the input (:func:`flmm.archive.made_by.made_by`).
        rows_per_shard: about so many rows of a JSON lines or parquet file make a shard.
        rank: number of this process, from 0.
        world_size: how many share the work.

    Attributes:
        fingerprint: 16 digits that stand for ``made_by``, in each row.
        shards: all of the input, in order.

    Raises:
        ValueError: the folder has output of another model, config or input, naming what differs.

    >>> folder = ArchiveFolder('annotated', files=list_files(['data']), made_by=made_by(grounder), rows_per_shard=1000)
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        files: Sequence[Path],
        made_by: dict[str, Any],
        rows_per_shard: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if rows_per_shard < 1:
            raise ValueError(f'rows_per_shard is {rows_per_shard}, expected 1 or more')
        if not 0 <= rank < world_size:
            raise ValueError(f'rank is {rank}, expected 0 to {world_size - 1} (world_size - 1)')
        self.folder = Path(folder)
        self.fingerprint = short(made_by)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f'output folder {str(folder)!r} cannot be made ({error}); choose another') from error
        self.claims = Claims(self.folder, rank=rank, world_size=world_size)
        wanted = {
            'format_version': FORMAT_VERSION,
            'fingerprint': self.fingerprint,
            'made_by': made_by,
            'rows_per_shard': rows_per_shard,
            'input_bytes': {file.name: file.stat().st_size for file in files},
        }
        path = self.folder / DOCUMENT
        with self.claims.whole():  # the first process counts rows, others read what it found
            if not path.exists():
                cuts = {file.name: cut(file, rows_per_shard) for file in files}
                write_json(path, {**wanted, 'shards': cuts}, indent=None)
            document = read_json(str(path), setting='output')
        cuts = document.pop('shards', {})
        difference = first_difference(
            {key: value for key, value in document.items() if key != 'fingerprint'},
            {key: value for key, value in wanted.items() if key != 'fingerprint'},
        )
        if difference:
            raise ValueError(
                f'{str(self.folder)!r} has output of something else: {difference}; go on with what it was begun '
                'with, or choose another folder'
            )
        self.shards = [shard for file in files for shard in shards_of(file, cuts[file.name])]
        self._left: dict[str, list[Path]] = {}
        self._done: set[str] = set()
        self._look()

    def missing(self) -> list[int]:
        """Return the numbers of shards without output, those of this process's share first."""
        self._look()
        return [number for number in self.claims.order(len(self.shards)) if not self.is_done(number)]

    def is_done(self, number: int) -> bool:
        """Say whether a shard has its output, as of the last :meth:`missing` or now."""
        return self._name(number) in self._done or (self.folder / self._name(number)).exists()

    def take(self, number: int) -> bool:
        """Claim a shard that has no output yet, and remove what a killed process has left of it; False if taken."""
        if self.is_done(number) or not self.claims.take(number):
            return False
        if self.is_done(number):  # meanwhile
            self.claims.release(number)
            return False
        for left in self._left.pop(self._name(number), []):
            left.unlink(missing_ok=True)
        return True

    def write(self, number: int, rows: list[dict[str, Any]]) -> None:
        """Write the output of a shard, as a whole or not at all, and give the claim back.

        Raises:
            OSError: it cannot be written, such as on a full disk; other shards stay as they are.
        """
        write_table(self.folder / self._name(number), rows, fingerprint=self.fingerprint)
        self.claims.release(number)

    def _name(self, number: int) -> str:
        return f'{self.shards[number].name}.parquet'

    def _look(self) -> None:
        """List the folder once: one look at each of a million files takes a network file system minutes."""
        self._done.clear()
        self._left.clear()
        for file in self.folder.iterdir():
            if file.suffix == '.parquet':
                self._done.add(file.name)
            elif file.name.endswith(UNFINISHED):  # name.parquet.<digits>.unfinished
                self._left.setdefault(file.name.removesuffix(UNFINISHED).rpartition('.')[0], []).append(file)


def read_archive(folder: str | Path) -> pyarrow.Table:
    """Read all output that is there, shards by name, rows in their order."""
    return read_tables(sorted(Path(folder).glob('*.parquet')))
