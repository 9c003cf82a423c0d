"""WebDataset's shards: a tar with ``key.json``, an object with ``phrases``, and ``key.jpg`` or another image.

Members are read as bytes where they lie; nothing is ever unpacked.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path

from flmm.archive.rows import FilePart, Row, make_row
from flmm.files import check_file_name, open_regular
from flmm.images import SUFFIXES
from flmm.json_files import parse_json

MAX_JSON_BYTES = 2**24
"""Largest ``key.json`` that is read, in bytes."""
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
        ValueError: it is no tar, compressed, or cut off.
    """
    for key, members in _members(file).items():
        yield _row(file, key, members, image_root)


def _members(file: Path) -> Members:
    found: Members = {}
    with open_regular(file) as stream:
        try:
            # Members are not kept by tarfile, and not followed: what a link leads to is never looked at.
            with tarfile.open(fileobj=stream, mode='r:', errorlevel=2) as archive:
                for member in archive:
                    folder, _, name = member.name.rpartition('/')
                    stem, _, ending = name.partition('.')
                    kind = KINDS.get(f'.{ending.lower()}')
                    if kind is not None and not member.isdir():
                        found.setdefault(f'{folder}/{stem}' if folder else stem, []).append((kind, member))
                # tarfile takes a damaged header, or none at all, for the end.
                stream.seek(archive.offset)
                if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise ValueError(f'{str(file)!r} is cut off or damaged behind byte {archive.offset}; get it again')
        except tarfile.TarError as error:
            raise ValueError(f'{str(file)!r} cannot be read as a tar ({error}); get it again, or unpack .gz') from error
    return found


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
        name = key.encode(errors='backslashreplace').decode()
        return Row(place=place, image_id=name, error=f'{place}: {error}'.encode(errors='backslashreplace').decode())
    return make_row(fields, place=place, default_id=key, image=parts['image'], image_root=image_root)
