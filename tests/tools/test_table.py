import json

import pytest
from tiny_refcoco import run_tool


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_runs_are_called_as_their_folders(tmp_path, capsys):
    files = [
        write(tmp_path / name / 'metrics.json', json.dumps({'val/refined/mIoU': value, 'run': {'seed': 0}}))
        for name, value in (('best_head', 41.26), ('demo', None))
    ]
    run_tool('table', *files)
    assert capsys.readouterr().out.splitlines() == [
        '                          val',
        'refined mIoU  best_head  41.3',
        '              demo        nan',
    ]
    run_tool('table', *files, '--names', 'untrained', 'trained')
    assert [line.split()[-2] for line in capsys.readouterr().out.splitlines()[1:]] == ['untrained', 'trained']


def test_all_metrics_are_printed_where_that_is_said(tmp_path, capsys):
    metrics = {'val/refined/mIoU': 1, 'val/refined/mIoU/color': 2, 'val/refined/Pr@0.6': 3}
    file = write(tmp_path / 'run' / 'metrics.json', json.dumps(metrics))
    run_tool('table', file)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ['refined', 'mIoU'], [], ['Not', 'shown,'],
    ]  # fmt: skip
    run_tool('table', file, '--all')
    assert [line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ['mIoU', 'run', '1.0'], ['Pr@0.6', 'run', '3.0'], ['mIoU:', 'color', 'run', '2.0'],
    ]  # fmt: skip


def test_files_of_one_folder_are_called_by_their_paths(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in 'ab':
        write(tmp_path / f'{name}.json', json.dumps({'val/refined/mIoU': 1}))
    run_tool('table', 'a.json', 'b.json')
    assert [line.split()[-2] for line in capsys.readouterr().out.splitlines()[1:]] == ['a.json', 'b.json']


def test_what_is_no_file_of_metrics_is_named(tmp_path, capsys):
    good = write(tmp_path / 'good.json', '{}')
    for text, problem in (
        ('{', r'cannot be read \(.*\)'),
        ('[]', 'holds no JSON object'),
        (None, r'cannot be read \(.*\)'),
    ):
        path = tmp_path / 'absent.json' if text is None else write(tmp_path / 'bad.json', text)
        with pytest.raises(ValueError, match=rf"'.*{path.name}' {problem}; name a metrics.json of tools/test.py"):
            run_tool('table', good, path)
    with pytest.raises(SystemExit):
        run_tool('table', good, '--names', 'a', 'b')
    assert '2 names for 1 files; give each one' in capsys.readouterr().err
