"""Names that are no Unicode text reach the output, which is, escaped."""

import json
import os

import pytest
from archives import open_folder, png, write_tar

from flmm.archive import Annotator
from flmm.archive.folder import read_archive
from flmm.archive.rows import Row

LATIN = os.fsdecode(b'caf\xe9')


def test_what_utf_8_cannot_hold_is_escaped():
    row = Row(place='key \udc80', image_id='é \udce9.png', error='\ud83d')
    assert (row.place, row.image_id, row.error) == ('key \\udc80', 'é \\udce9.png', '\\ud83d')
    assert Row(place=row.place, image_id=row.image_id).image_id == row.image_id


@pytest.mark.parametrize('kind', ['a.jsonl', 'a.tar'])
def test_a_name_in_latin_1_is_read(grounder, tmp_path, kind):
    (tmp_path / f'{LATIN}.png').write_bytes(png(0))
    if kind == 'a.tar':
        members = [(f'{LATIN}.png', png(0)), (f'{LATIN}.json', b'{"phrases": ["x"]}'), ('b\udc80.png', png(0))]
        write_tar(tmp_path / kind, members)
    else:
        lines = [{'image': f'{LATIN}.png', 'phrases': ['x']}, {'image': 'b\udc80.png', 'phrases': ['x']}]
        (tmp_path / kind).write_text(''.join(json.dumps(line) + '\n' for line in lines))
    report = Annotator(grounder=grounder, num_workers=0).annotate(
        open_folder(tmp_path / 'out', [tmp_path / kind], grounder)
    )
    assert report.failed == {}
    ending = '' if kind == 'a.tar' else '.png'
    assert [(row['image_id'], row['status']) for row in read_archive(tmp_path / 'out').to_pylist()] == [
        (f'caf\\udce9{ending}', 'ok'),
        (f'b\\udc80{ending}', 'error'),
    ]
