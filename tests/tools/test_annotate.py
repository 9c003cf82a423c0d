"""tools/annotate.py: exit codes, several processes, kills and SIGTERM; what is written is always the same."""

import errno
import fcntl
import importlib.util
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
from archives import archive_grounder, write_json_lines, write_tar
from processes import launch_function
from tiny_refcoco import REPOSITORY, run_tool

from flmm.archive import Annotator
from flmm.archive.claims import Claims
from flmm.archive.folder import read_archive


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp('model')
    archive_grounder(folder / 'parts').save_pretrained(folder / 'saved', include_frozen=True)
    return folder / 'saved'


@pytest.fixture(scope='module')
def lines(tmp_path_factory):
    return write_json_lines(tmp_path_factory.mktemp('in') / 'a.jsonl', 24)


@pytest.fixture(autouse=True)
def _handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def arguments(lines, model, out, *more):
    return [lines, '--out', out, '--model', model, '--rows-per-shard', '2', '--num-workers', '0', *more]


def run(*given):
    with pytest.raises(SystemExit) as ended:
        run_tool('annotate', *given)
    return ended.value.code


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope='module')
def whole(lines, model, tmp_path_factory):
    out = tmp_path_factory.mktemp('whole') / 'out'
    assert run(*arguments(lines, model, out)) == 0
    return out


def test_started_again_it_does_nothing(lines, model, whole, capsys):
    before = contents(whole)
    assert len(before) == 12 + 2
    assert run(*arguments(lines, model, whole)) == 0
    assert contents(whole) == before
    assert 'process 0 of 1: 0 shards, 0 images' in capsys.readouterr().out


def test_wrong_use(lines, model, whole, tmp_path, capsys):
    assert run(*arguments(lines, model, whole, '--rows-per-shard', '3')) == 2
    assert 'annotate: error: ' in (message := capsys.readouterr().err)
    assert 'has output of something else: rows_per_shard (2, not 3)' in message
    assert run(*arguments(tmp_path / 'no.jsonl', model, whole)) == 2
    assert 'does not exist' in capsys.readouterr().err
    assert run(*arguments(lines, model, whole, '--launcher', 'pytorch')) == 2
    assert 'RANK is None in the environment' in capsys.readouterr().err
    assert run(*arguments(lines, model, whole, '--launcher', 'slurm', '--processes', '2')) == 2
    assert '--processes is 2' in capsys.readouterr().err
    for out in (lines.parent, lines.parent / 'sub'):
        assert run(lines.parent, *arguments(lines, model, out)) == 2
        assert f'the output {str(out)!r} is, or lies in, the input' in capsys.readouterr().err
        assert not (out / 'annotate.json').exists()


def test_a_shard_that_cannot_be_read_is_exit_code_1(lines, model, tmp_path, capsys):
    write_tar(tmp_path / 'b.tar', [('x.json', b'{}')])
    (tmp_path / 'b.tar').write_bytes((tmp_path / 'b.tar').read_bytes()[:700])
    assert run(tmp_path / 'b.tar', *arguments(lines, model, tmp_path / 'out')) == 1
    assert '12 shards, 24 images, 0 rows with errors, 1 shards failed' in (said := capsys.readouterr().out)
    assert '1 of 13 missing' in said


def test_a_full_disk_is_exit_code_1(lines, model, whole, tmp_path, capsys, monkeypatch):
    from flmm.archive.folder import ArchiveFolder

    write = ArchiveFolder.write

    def full(self, number, rows):
        if number == 5:
            raise OSError(28, 'No space left on device; nothing was written', 'a.jsonl-000005.parquet')
        write(self, number, rows)

    monkeypatch.setattr(ArchiveFolder, 'write', full)
    assert run(*arguments(lines, model, tmp_path)) == 1
    assert 'annotate: error: [Errno 28] No space left on device' in capsys.readouterr().err
    monkeypatch.undo()
    assert run(*arguments(lines, model, tmp_path)) == 0
    assert contents(tmp_path) == contents(whole)


def claim(folder, number, ended):
    """Be at a shard, for a second longer than all others take."""
    claims = Claims(folder, rank=1, world_size=2)
    assert claims.take(number)
    (folder / 'claimed').touch()
    wait_for(lambda: len(list(folder.glob('*.parquet'))) == 11)
    time.sleep(1)
    ended.value = time.monotonic()
    claims.close()


def test_a_rank_that_fails_waits_for_those_that_work(lines, model, tmp_path, capsys, monkeypatch):
    """Since torchrun would end them."""
    write_tar(tmp_path / 'b.tar', [('x.json', b'{}')])
    (tmp_path / 'b.tar').write_bytes((tmp_path / 'b.tar').read_bytes()[:700])
    out = tmp_path / 'out'
    out.mkdir()
    context = multiprocessing.get_context('fork')
    ended = context.Value('d', 0.0)
    annotate = Annotator.annotate

    def beside_another(self, folder):
        other = context.Process(target=claim, args=(out, 7, ended))
        other.start()
        wait_for((out / 'claimed').exists)
        return annotate(self, folder)

    monkeypatch.setattr(Annotator, 'annotate', beside_another)
    for name, value in (('RANK', '0'), ('WORLD_SIZE', '2'), ('LOCAL_RANK', '0')):
        monkeypatch.setenv(name, value)
    assert run(tmp_path / 'b.tar', *arguments(lines, model, out, '--launcher', 'pytorch')) == 1
    assert 0 < ended.value < time.monotonic()
    assert '11 shards, 22 images, 0 rows with errors, 1 shards failed' in (said := capsys.readouterr().out)
    assert '2 of 13 missing' in said


def test_an_array_with_gaps_and_no_locks_says_what_is_missing(lines, model, tmp_path, capsys, monkeypatch):
    def without(*args):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'lockf', without)
    for name, value in (('COUNT', '2'), ('MIN', '3'), ('MAX', '6'), ('ID', '6')):
        monkeypatch.setenv(f'SLURM_ARRAY_TASK_{name}', value)
    assert run(*arguments(lines, model, tmp_path, '--launcher', 'slurm')) == 1
    said = capsys.readouterr()
    assert 'process 3 of 4: 3 shards' in said.out
    assert '9 shards are missing. Numbers of the Slurm array have gaps' in said.err


def test_arguments_for_processes_that_stand_elsewhere(lines, monkeypatch):
    spec = importlib.util.spec_from_file_location('annotate_tool', REPOSITORY / 'tools' / 'annotate.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.chdir(lines.parent)
    monkeypatch.setattr(sys, 'argv', ['annotate.py', 'a.jsonl', 'no.tar', '--out', 'out', '--model', 'owner/name'])
    found = tool.with_absolute_paths(tool.parse_args())
    assert found.inputs == [str(lines), 'no.tar']
    assert (found.out, found.model, found.image_root) == (str(lines.parent / 'out'), 'owner/name', None)


def test_several_ranks_share_the_work(lines, model, whole, tmp_path):
    given = arguments(lines, model, tmp_path / 'out', '--launcher', 'pytorch')
    launch_function(2, tmp_path, run_tool, 'annotate', *given)
    assert contents(tmp_path / 'out') == contents(whole)


def test_tasks_of_an_array_share_the_work(lines, model, whole, tmp_path, monkeypatch):
    """One after the other, as a busy cluster starts them."""
    monkeypatch.setenv('SLURM_ARRAY_TASK_COUNT', '2')
    for task in ('1', '0'):
        monkeypatch.setenv('SLURM_ARRAY_TASK_ID', task)
        assert run(*arguments(lines, model, tmp_path, '--launcher', 'slurm')) == 0
    assert contents(tmp_path) == contents(whole)


def forked(*given):
    """The tool in a process of its own."""
    process = multiprocessing.get_context('fork').Process(target=run_tool, args=('annotate', *given))
    process.start()
    return process


def wait_for(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_what_was_killed_goes_on(lines, model, whole, tmp_path, number, code):
    """Twice, at the first shards that it writes; the end is that of a run that nobody killed."""
    given = arguments(lines, model, tmp_path / 'out', '--num-workers', '1', '--rows-per-shard', '2')
    for goal in (1, 5):
        process = forked(*given)
        wait_for(lambda goal=goal: len(list((tmp_path / 'out').glob('*.parquet'))) >= goal)
        os.kill(process.pid, number)
        process.join(timeout=60)
        assert process.exitcode == code
        if number == signal.SIGTERM:
            assert list((tmp_path / 'out').glob('*.unfinished')) == []
    written = contents(tmp_path / 'out')
    written = {name: content for name, content in written.items() if name.endswith('.parquet')}
    assert len(written) < 12
    assert written.items() <= contents(whole).items()
    assert run(*given) == 0
    assert contents(tmp_path / 'out') == contents(whole)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec('ray') is None, reason='Ray is not installed: pip install flmm[ray]')
def test_ray_shares_the_work(lines, model, whole, tmp_path):
    """Actors of two models; a shard that cannot be read stops no other. Paths may be relative."""
    write_tar(tmp_path / 'b.tar', [('x.json', b'{}')])
    (tmp_path / 'b.tar').write_bytes(b'no tar')
    given = arguments(lines, model, 'out', '--launcher', 'ray', '--processes', '2')
    command = [sys.executable, REPOSITORY / 'tools' / 'annotate.py', 'b.tar', *given]
    found = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path
    )
    assert found.returncode == 1, found.stderr
    assert '2 actors: 12 shards, 24 images, 0 rows with errors, 1 shards failed' in found.stdout
    assert read_archive(tmp_path / 'out').equals(read_archive(whole).replace_schema_metadata(None))


@pytest.mark.slow
def test_kills_of_two_processes(model):
    command = [REPOSITORY / 'tools' / 'torture_annotate.py', '--kills', '4', '--images', '100']
    found = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False, timeout=600
    )
    assert found.returncode == 0, found.stderr
    assert '4 kills, 2 processes: all 400 rows are equal' in found.stdout
