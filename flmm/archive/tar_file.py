"""WebDataset's shards: a tar with ``key.json``, an object with ``phrases``, and ``key.jpg`` or another image.

Members are read as bytes where they lie; nothing is ever unpacked.
"""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from flmm.archive.rows import FilePart, Row, make_row
from flmm.files import check_file_name, open_regular
from flmm.images import SUFFIXES
from flmm.json_files import parse_json

MAX_JSON_BYTES = 2**24
"""Largest ``key.json`` that is read, in bytes."""
MAX_HEADER_BYTES = 2**16
"""Longest name, or list of pax fields, of a member, in bytes; tarfile's time for these grows with the square."""
LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip
"""Types of headers that are as long as they say."""
MIN_END_BYTES = 2 * tarfile.BLOCKSIZE
MAX_END_BYTES = MIN_END_BYTES + tarfile.RECORDSIZE
"""Zeros at the end of a tar: two blocks, and what fills a record. More are what a lost part of a file looks like."""
KINDS = dict.fromkeys(SUFFIXES, 'image') | {'.json': 'json'}

Members = dict[str, list[tuple[str, tarfile.TarInfo]]]
"""Of each key its members, with what each is."""


def cut(file: Path, rows_per_shard: int) -> list[tuple[int, int, int]]:
    """Return the one part: a tar is a shard, whatever it holds. It is not opened."""
    return [(0, 0, 0)]


def read_rows(file: Path, part: tuple[int, int, int], image_root: Path) -> Iterator[Row]:
    """Read a tar, a row for each key in the order of its first member.

    Members of other kinds are passed over, as WebDataset's shards have many.

    Raises:
        ValueError: it is no tar, compressed, cut off or damaged, has no member, or has a sparse one.
    """
    for key, members in _members(file).items():
        yield _row(file, key, members, image_root)


def _members(file: Path) -> Members:
    found: Members = {}
    with open_regular(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        end = 0  # of the last member
        try:
            # Members are not followed: what a link leads to is never looked at.
            with tarfile.open(fileobj=stream, mode='r:', errorlevel=2, tarinfo=_Header) as archive:
                for member in archive:
                    _check_place(member, previous=end, following=archive.offset, size=size)
                    end = archive.offset
                    folder, _, name = member.name.rpartition('/')
                    stem, _, ending = name.partition('.')
                    kind = KINDS.get(f'.{ending.lower()}')
                    if kind is not None and not member.isdir():
                        found.setdefault(f'{folder}/{stem}' if folder else stem, []).append((kind, member))
            if not end:
                raise ValueError('it has no member')
            # tarfile takes a damaged header, or none at all, for the end.
            stream.seek(end)
            zeros = stream.read(MAX_END_BYTES + 1)
            if len(zeros) < MIN_END_BYTES or zeros.strip(b'\0'):
                raise ValueError(f'it is cut off or damaged behind byte {end}, or has another tar behind it')
            if len(zeros) > MAX_END_BYTES:
                raise ValueError(
                    f'behind byte {end} it has more zeros than a tar of blocking factor 20: part of it is lost'
                )
        except (tarfile.TarError, ValueError, ArithmeticError, MemoryError, RecursionError) as error:
            raise ValueError(
                f'{str(file)!r} cannot be read as a tar ({error}); get it again, pack it again, or unpack .gz'
            ) from error
    return found


class _Header(tarfile.TarInfo):
    """A header whose size is checked before tarfile reads so many bytes or goes back by them."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:  # where tarfile lets subclasses in
        if self.size < 0:
            raise ValueError(f'the header of {self.name!r} says that it has {self.size} bytes')
        if self.type in LONG_HEADERS and self.size > MAX_HEADER_BYTES:
            raise ValueError(f'a header of {self.size} bytes, at most {MAX_HEADER_BYTES} are read')
        return super()._proc_member(archive)  # ty: ignore[missing-attribute]


def _check_place(member: tarfile.TarInfo, *, previous: int, following: int, size: int) -> None:
    """Refuse a member that does not lie, as it is, between the one before, the one behind, and the end of the file."""
    if member.issparse():
        raise ValueError(f'member {member.name!r} is sparse, which is not read')
    last = member.offset_data + (member.size if member.isreg() else 0)
    if member.size < 0 or not previous < following or last > following:
        raise ValueError(f'member {member.name!r} has {member.size} bytes, which its place does not allow')
    if following > size:
        raise ValueError(f'it is cut off in member {member.name!r}, which goes to byte {following} of {size}')


def _row(file: Path, key: str, members: list[tuple[str, tarfile.TarInfo]], image_root: Path) -> Row:
    place = f'key {key!r} of {file.name!r}'
    try:
        parts = {}
        for kind, member in members:
            check_file_name(member.name)
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                raise ValueError(f'member {member.name!r} is a link or another thing than a file')
            if kind in parts:
                raise ValueError(f'member {member.name!r} is a second {kind}; keys must differ')
            parts[kind] = FilePart(file=file, offset=member.offset_data, size=member.size)
        absent = [kind for kind in ('image', 'json') if kind not in parts]
        if absent:
            raise ValueError(f'there is no {absent[0]}')
        if parts['json'].size > MAX_JSON_BYTES:
            raise ValueError(f'its json has {parts["json"].size} bytes, at most {MAX_JSON_BYTES} are read')
        fields = parse_json(parts['json'].read(), where='its json')
    except ValueError as error:
        return Row(place=place, image_id=key, error=f'{place}: {error}')
    return make_row(fields, place=place, default_id=key, image=parts['image'], image_root=image_root)
