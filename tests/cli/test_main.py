"""The command ``flmm``: help, version, errors."""

import subprocess
import sys

import pytest
from tiny_refcoco import REPOSITORY

import flmm
from flmm.cli import ground
from flmm.cli.main import main

HEAVY = {'matplotlib', 'mmcv', 'mmdet', 'mmengine', 'segment_anything', 'torch', 'tqdm', 'transformers'}


@pytest.mark.parametrize(
    'arguments', [['--help'], ['ground', '--help'], ['--version'], ['ground'], ['ground', 'a.jpg', '?']]
)
def test_what_needs_no_model_waits_for_nothing(arguments):
    code = (
        'import sys\nfrom flmm.cli.main import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n'
        f'print("imported:", *({HEAVY} & set(sys.modules)))'
    )
    found = subprocess.run([sys.executable, '-c', code, *arguments], check=True, capture_output=True, text=True)
    assert found.stdout.splitlines()[-1] == 'imported:'


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(['--help'])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith('usage: flmm [-h] [--version] COMMAND')
    assert 'find phrases in an image, in each image of a folder, or in a' in shown


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(['--version'])
    assert capsys.readouterr().out == f'flmm {flmm.__version__}\n'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'flmm: error: the following arguments are required: COMMAND'),
        (['grund'], "flmm: error: argument COMMAND: invalid choice: 'grund'"),
        (
            ['ground', 'a.jpg', 'x', '--model', 'm', '--config', 'c'],
            'flmm ground: error: argument --config: not allowed',
        ),
        (['ground', 'a.jpg', 'x', '--num-workers', 'two'], "argument --num-workers: invalid int value: 'two'"),
    ],
)
def test_wrong_use(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('error', [ValueError('a wrong value'), OSError(28, 'No space left on device', 'a.png')])
def test_what_the_user_can_mend_is_one_line(error, monkeypatch, capsys):
    def fail(path, *, out):
        raise error

    monkeypatch.setattr(ground, '_images', fail)
    assert main(['ground', 'a.jpg', 'x']) == 2
    assert capsys.readouterr().err == f'flmm: error: {error}\n'


def test_a_stop_by_the_user_is_one_line(monkeypatch, capsys):
    def stop(path, *, out):
        raise KeyboardInterrupt

    monkeypatch.setattr(ground, '_images', stop)
    assert main(['ground', 'a.jpg', 'x']) == 130
    assert capsys.readouterr().err == 'flmm: stopped\n'


def test_a_bug_shows_where_it_is(monkeypatch):
    monkeypatch.setattr(ground, '_images', lambda path, *, out: {}['absent'])
    with pytest.raises(KeyError, match='absent'):
        main(['ground', 'a.jpg', 'x'])


def test_the_tool_is_the_command(tmp_path):
    """In any working directory, and with its exit code."""
    tool = [sys.executable, REPOSITORY / 'tools' / 'ground.py']
    shown = subprocess.run([*tool, '--help'], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert shown.startswith('usage: flmm ground [-h]')
    failed = subprocess.run([*tool, 'absent.jpg', 'x'], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (failed.returncode, failed.stdout) == (2, '')
    assert failed.stderr == "flmm: error: 'absent.jpg' is no image, video or folder\n"
