"""Small archives in each format, and a tiny grounder that has a config, for tests of flmm.archive."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image
from saved_grounders import build, saved_config, write_frozen

from flmm import Grounder
from flmm.archive import ArchiveFolder, list_files
from flmm.archive.made_by import made_by

PHRASES = [['a cat', 'dog', 'the red one'], ['x'], ['it is there', 'a cat'], ['dog', 'dog'], ['the small thing']]


def archive_grounder(folder: Path, **model) -> Grounder:
    """A tiny grounder over frozen parts in ``folder``, which are written there if they are not."""
    if not (folder / 'lmm').exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_frozen(folder)
    return build(saved_config(folder, **model))


def png(seed: int) -> bytes:
    """Noise, of another size for each seed."""
    size = (40 + 12 * (seed % 5), 60 + 8 * (seed % 3), 3)
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)).save(file, 'PNG')
    return file.getvalue()


def rows(count: int) -> list[tuple[str, bytes, list[str]]]:
    """``id``, image and phrases of so many rows."""
    return [(f'image {number}', png(number), PHRASES[number % len(PHRASES)]) for number in range(count)]


def write_json_lines(file: Path, count: int) -> Path:
    """JSON lines beside the images that they name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, (image_id, image, phrases) in enumerate(rows(count)):
        (file.parent / f'{number}.png').write_bytes(image)
        lines.append(json.dumps({'id': image_id, 'image': f'{number}.png', 'phrases': phrases}) + '\n')
    file.write_text(''.join(lines))
    return file


def write_parquet(file: Path, count: int, *, rows_per_group: int) -> Path:
    """Parquet with the bytes of images."""
    file.parent.mkdir(parents=True, exist_ok=True)
    ids, images, phrases = zip(*rows(count), strict=True)
    table = pyarrow.table({'id': ids, 'image': images, 'phrases': phrases})
    pyarrow.parquet.write_table(table, file, row_group_size=rows_per_group)
    return file


def write_tar(file: Path, members: list[tuple[str, bytes]]) -> Path:
    """A tar of these names and contents."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, 'w') as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def write_tar_of_rows(file: Path, count: int) -> Path:
    """A shard as WebDataset has it."""
    members = []
    for number, (image_id, image, phrases) in enumerate(rows(count)):
        members.append((f'{number:04d}.png', image))
        members.append((f'{number:04d}.json', json.dumps({'id': image_id, 'phrases': phrases}).encode()))
    return write_tar(file, members)


def open_folder(
    out: Path, inputs: list[Path], grounder: Grounder, *, rows_per_shard: int = 4, **place
) -> ArchiveFolder:
    """The output folder for files of input."""
    return ArchiveFolder(
        out, files=list_files(inputs), made_by=made_by(grounder), rows_per_shard=rows_per_shard, **place
    )
