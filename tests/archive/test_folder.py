"""Output of another model, config or input in the same folder is refused; input may move."""

import json
import os
import shutil

import pytest
import torch
from archives import archive_grounder, open_folder, png, write_json_lines, write_parquet, write_tar_of_rows
from saved_grounders import build, saved_config

from flmm import Grounder
from flmm.archive import ArchiveFolder, list_files
from flmm.archive.made_by import made_by, short


@pytest.fixture(scope='module')
def frozen(tmp_path_factory):
    folder = tmp_path_factory.mktemp('parts')
    archive_grounder(folder)
    return folder


@pytest.fixture
def lines(tmp_path):
    return write_json_lines(tmp_path / 'in' / 'a.jsonl', 5)


def test_it_says_what_it_is_of(grounder, lines, tmp_path):
    folder = open_folder(tmp_path / 'out', [lines], grounder, rows_per_shard=2)
    document = json.loads((tmp_path / 'out' / 'annotate.json').read_text())
    assert document['fingerprint'] == folder.fingerprint == short(made_by(grounder))
    assert document['made_by']['frozen_parts']['LMM'] == grounder.model.fingerprints['LMM']
    assert document['input_bytes'] == {'a.jsonl': lines.stat().st_size}
    length = lines.stat().st_size // 5  # ids and names have one digit; phrases differ
    assert [part[:2] for part in document['shards']['a.jsonl']] == [[0, 2], [2, 2], [4, 1]]
    assert 0 == document['shards']['a.jsonl'][0][2] < length < document['shards']['a.jsonl'][1][2]
    assert [shard.name for shard in folder.shards] == ['a.jsonl-000000', 'a.jsonl-000001', 'a.jsonl-000002']
    assert folder.missing() == [0, 1, 2]


def other_weights(frozen):
    return archive_grounder(frozen), 'made_by.trained_part'


def other_setting(frozen):
    return archive_grounder(frozen, merge='max'), r'made_by\.model\.merge \(None, not \'max\'\)'


def other_lmm(frozen):
    grounder = archive_grounder(frozen)
    with torch.no_grad():
        next(grounder.model.lmm.parameters()).mul_(2)
    return grounder, r'made_by\.frozen_parts\.LMM'


def other_prompt(frozen):
    return build(saved_config(frozen, to_sample={'prompt': 'Find.'})), r"made_by\.to_sample\.prompt \('Look\.', not"


@pytest.mark.parametrize('other', [other_weights, other_setting, other_lmm, other_prompt])
def test_another_model_is_refused(frozen, lines, tmp_path, other):
    open_folder(tmp_path / 'out', [lines], archive_grounder(frozen))
    before = (tmp_path / 'out' / 'annotate.json').read_bytes()
    found, message = other(frozen)
    if other is other_weights:
        with torch.no_grad():
            found.model.text_proj.weight[0, 0] += 1e-6
    with pytest.raises(ValueError, match=rf'out. has output of something else: {message}.*choose another folder'):
        open_folder(tmp_path / 'out', [lines], found)
    assert (tmp_path / 'out' / 'annotate.json').read_bytes() == before


def test_another_input_is_refused_and_one_that_has_moved_is_not(grounder, lines, tmp_path):
    folder = open_folder(tmp_path / 'out', [lines], grounder)
    moved = shutil.copytree(lines.parent, tmp_path / 'moved')
    assert len(open_folder(tmp_path / 'out', [moved / 'a.jsonl'], grounder).shards) == len(folder.shards)
    with pytest.raises(ValueError, match=r'something else: rows_per_shard \(4, not 5\)'):
        open_folder(tmp_path / 'out', [lines], grounder, rows_per_shard=5)
    write_json_lines(moved / 'b.jsonl', 1)
    with pytest.raises(ValueError, match=r'something else: input_bytes\.b\.jsonl \(None, not'):
        open_folder(tmp_path / 'out', [moved], grounder)
    lines.write_text(lines.read_text() + '\n')
    with pytest.raises(ValueError, match=r'something else: input_bytes\.a\.jsonl'):
        open_folder(tmp_path / 'out', [lines], grounder)


def test_a_model_is_known_wherever_it_lies(grounder, frozen, tmp_path):
    moved = shutil.copytree(frozen, tmp_path / 'moved')
    assert made_by(archive_grounder(moved)) == made_by(archive_grounder(frozen))
    grounder = archive_grounder(frozen)
    grounder.config = None
    with pytest.raises(ValueError, match=r'was not made from a config; use Grounder\.from_config'):
        made_by(grounder)


def test_a_saved_grounder_is_known_again(frozen, tmp_path):
    grounder = archive_grounder(frozen)
    grounder.save_pretrained(tmp_path / 'one', include_frozen=True)
    shutil.copytree(tmp_path / 'one', tmp_path / 'two')
    one, two = (made_by(Grounder.from_pretrained(tmp_path / name)) for name in ('one', 'two'))
    assert one == two


def test_inputs(tmp_path):
    first = write_tar_of_rows(tmp_path / 'x' / 'b.tar', 1)
    second = write_parquet(tmp_path / 'x' / 'a.parquet', 1, rows_per_group=1)
    third = write_json_lines(tmp_path / 'y' / 'aa.jsonl', 1)
    assert list_files([tmp_path / 'x', third]) == [second, third, first]
    with pytest.raises(ValueError, match=r"'.*a\.parquet' and '.*a\.parquet' have the same name"):
        list_files([tmp_path / 'x', second])
    (tmp_path / 'empty').mkdir()
    for given, message in (
        ([tmp_path / 'empty'], r'has no file that ends in \.jsonl, \.parquet, \.tar'),
        ([tmp_path / 'a.csv'], r"input '.*a\.csv' is no folder, and ends in none of"),
        ([tmp_path / 'a.jsonl'], r"input '.*a\.jsonl' does not exist"),
    ):
        with pytest.raises(ValueError, match=message):
            list_files(given)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'rows_per_shard': 0}, 'rows_per_shard is 0, expected 1 or more'),
        ({'rank': 2, 'world_size': 2}, r'rank is 2, expected 0 to 1 \(world_size - 1\)'),
    ],
)
def test_settings_out_of_range(grounder, lines, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        open_folder(tmp_path / 'out', [lines], grounder, **settings)


def test_a_folder_that_cannot_be_made(grounder, lines, tmp_path):
    (tmp_path / 'out').write_bytes(png(0))
    with pytest.raises(ValueError, match=r"output folder '.*out' cannot be made"):
        open_folder(tmp_path / 'out', [lines], grounder)


def claim_elsewhere(folder, rank, number):
    """Claim a shard in another process; whether it got it."""
    child = os.fork()
    if child == 0:
        os._exit(int(folder(rank).take(number)))
    return bool(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def test_a_shard_is_claimed_once_until_its_process_is_gone(grounder, lines, tmp_path):
    description, files = made_by(grounder), list_files([lines])

    def folder(rank):
        return ArchiveFolder(
            tmp_path / 'out', files=files, made_by=description, rows_per_shard=1, rank=rank, world_size=2
        )

    mine = folder(0)
    assert mine.missing() == [0, 2, 4, 1, 3]
    assert mine.take(0)
    assert not claim_elsewhere(folder, 1, 0)
    assert claim_elsewhere(folder, 1, 1)
    assert mine.take(1)  # its process has ended
    mine.write(1, [])
    assert not claim_elsewhere(folder, 1, 1)  # done
    mine.claims.release(0)
    assert claim_elsewhere(folder, 1, 0)


def test_without_locks_each_process_does_its_share(grounder, lines, tmp_path, monkeypatch, caplog):
    def none(*args):
        raise OSError(38, 'Function not implemented')

    monkeypatch.setattr('fcntl.lockf', none)
    folders = [
        open_folder(tmp_path / 'out', [lines], grounder, rows_per_shard=1, rank=rank, world_size=2) for rank in (0, 1)
    ]
    assert [[folder.take(number) for number in range(5)] for folder in folders] == [
        [True, False, True, False, True], [False, True, False, True, False],
    ]  # fmt: skip
    assert 'has no locks' in caplog.text


def test_a_file_that_cannot_be_planned_is_a_shard_that_fails(grounder, lines, tmp_path):
    good = write_parquet(tmp_path / 'c.parquet', 2, rows_per_group=1)
    content = good.read_bytes()
    good.write_bytes(content[:-8] + bytes(8))
    folder = open_folder(tmp_path / 'out', [lines, good], grounder)
    assert [shard.name for shard in folder.shards] == ['a.jsonl-000000', 'a.jsonl-000001', 'c.parquet']
    for opened in (folder, open_folder(tmp_path / 'out', [lines, good], grounder)):
        with pytest.raises(ValueError, match=r"c\.parquet' is no parquet file"):
            list(opened.shards[2].read_rows(None))
    good.write_bytes(content)  # of the same number of bytes: nobody has counted its rows
    with pytest.raises(ValueError, match=r"c\.parquet' could not be read at the beginning, now it can; choose another"):
        list(folder.shards[2].read_rows(None))


def test_a_broken_link_is_refused(lines):
    (lines.parent / 'x.tar').symlink_to(lines.parent / 'gone.tar')
    with pytest.raises(ValueError, match=r"input '.*x\.tar' is a link to what is not there; mend or remove it"):
        list_files([lines.parent])


def test_output_of_another_format_is_refused(grounder, lines, tmp_path):
    """Its shards have other names, and their rows would be there twice."""
    open_folder(tmp_path / 'out', [lines], grounder)
    document = json.loads((tmp_path / 'out' / 'annotate.json').read_text())
    (tmp_path / 'out' / 'annotate.json').write_text(json.dumps({**document, 'format_version': 1}))
    with pytest.raises(ValueError, match=r'something else: format_version \(1, not 2\)'):
        open_folder(tmp_path / 'out', [lines], grounder)
