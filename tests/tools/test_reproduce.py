"""tools/reproduce.py on pages and measurements that are written here: commands that take no time."""

import json
import re
import sys

import pytest
import reproduce
from research.measurements.measurement import Command, Measurement, Table, read_json

PAGE = """# Figures

    echo 'once' >> work_dirs/runs.txt && cp figures.json work_dirs/found.json

<!-- measured: sets.all -->
| set | mIoU | ms |
| --- | --- | --- |
| val | 91.6 ±0.5 | 1,000 |
| long ago | 55.5 | 7 |
| *test* | 90.0 ±0.5 | 2,000 |

Behind it.

```python
print(6 * 7)
```

<!-- measured: printed.answer -->
| what | answer |
| --- | --- |
| all | 42 |
"""
COMMAND = Command(text="echo 'once'", writes=('work_dirs/found.json',))
PRINT = Command(text='print(')


def rows(root):
    found = read_json(root / 'work_dirs/found.json')
    return [['set', 'mIoU', 'ms'], *([name, f'{mean} ±0.5', f'{ms:,}'] for name, (mean, ms) in found.items())]


MEASUREMENTS = {
    'sets': Measurement(
        name='sets',
        minutes=2,
        commands=(COMMAND,),
        tables={'all': Table(rows=rows, tolerance=0.5, times=('ms',), history=('long ago',))},
    ),
    'printed': Measurement(
        name='printed',
        minutes=0.5,
        commands=(PRINT,),
        tables={'answer': Table(rows=lambda root: [['what', 'answer'], ['all', *PRINT.printed(root)]])},
    ),
}


@pytest.fixture
def root(tmp_path):
    """A repository of three pages; figures.json stands for what a tool measures."""
    for folder in ('docs', 'assets', 'work_dirs'):
        (tmp_path / folder).mkdir()
    for page in ('README.md', 'assets/README.md'):
        (tmp_path / page).write_text('# Nothing here\n')
    (tmp_path / 'docs/figures.md').write_text(PAGE)
    measure(tmp_path, val=91.6, test=90.0)
    return tmp_path


def measure(root, *, val, test):
    (root / 'figures.json').write_text(json.dumps({'val': [val, 1500], '*test*': [test, 1000]}))


def runs(root):
    return (root / 'work_dirs/runs.txt').read_text().split()


def main(root, monkeypatch, *arguments):
    """Run the tool; return its exit code."""
    monkeypatch.setattr(reproduce, 'ROOT', root)
    monkeypatch.setattr(reproduce, 'MEASUREMENTS', MEASUREMENTS)
    monkeypatch.setattr(sys, 'argv', ['reproduce.py', *arguments])
    try:
        reproduce.main()
    except SystemExit as stop:
        return stop.code
    return 0


def listed(output):
    """The lines of compared cells, with single blanks."""
    return [' '.join(line.split()) for line in output.splitlines() if re.search(r'[+x-]\d', line)]


def test_old_and_new_side_by_side(root, monkeypatch, capsys):
    measure(root, val=91.1, test=90.2)
    assert main(root, monkeypatch) == 0
    output = capsys.readouterr().out
    assert 'docs/figures.md:6 sets.all' in output
    assert listed(output) == [
        'val mIoU 91.6 ±0.5 91.1 ±0.5 -0.5, +0.0',
        'val ms 1,000 1,500 x1.50',
        '*test* mIoU 90.0 ±0.5 90.2 ±0.5 +0.2, +0.0',
        '*test* ms 2,000 1,000 x0.50',
        'all answer 42 42 +0',
    ]
    assert output.endswith('All figures are within their tolerance.\n')
    assert (root / 'docs/figures.md').read_text() == PAGE


def test_a_figure_beyond_its_tolerance(root, monkeypatch, capsys):
    measure(root, val=91.6, test=89.4)
    assert main(root, monkeypatch) == 1
    output = capsys.readouterr().out
    assert '*test* mIoU 90.0 ±0.5 89.4 ±0.5 -0.6, +0.0 !' in listed(output)
    assert output.endswith('\ndocs/figures.md:6 sets.all: 1 of 4 cells differ by more than 0.5\n')


def test_results_are_used_again_until_again_or_another_command(root, monkeypatch):
    for arguments in ((), (), ('printed',)):
        assert main(root, monkeypatch, *arguments) == 0
    assert runs(root) == ['once']
    measure(root, val=80.0, test=90.0)
    assert main(root, monkeypatch) == 0
    assert main(root, monkeypatch, '--again') == 1
    assert runs(root) == ['once', 'once']
    page = root / 'docs/figures.md'
    page.write_text(page.read_text().replace("echo 'once'", "echo 'once' more"))
    assert main(root, monkeypatch, 'sets') == 1
    assert runs(root) == ['once', 'once', 'once', 'more']


def test_again_deletes_results_and_not_data(root, monkeypatch):
    assert main(root, monkeypatch) == 0
    (root / 'figures.json').unlink()
    assert main(root, monkeypatch, 'sets', '--again') == 1
    assert not (root / 'work_dirs/found.json').exists()
    (root / 'data').mkdir()
    (root / 'data/kept').write_text('')
    reproduce.forget(Command(text='draw', writes=('data/*',)), root=root)
    assert (root / 'data/kept').exists()


def test_a_command_that_fails_does_not_keep_the_others_back(root, monkeypatch, capsys):
    (root / 'figures.json').unlink()
    assert main(root, monkeypatch) == 1
    output = capsys.readouterr().out
    assert listed(output) == ['all answer 42 42 +0']
    assert output.endswith("""\nsets: "echo 'once'" failed with code 1\n""")
    page = root / 'docs/figures.md'
    page.write_text(page.read_text().replace('cp figures.json work_dirs/found.json', 'true'))
    assert main(root, monkeypatch, 'sets') == 1
    assert "\"echo 'once'\" ended, but wrote no ['work_dirs/found.json']" in capsys.readouterr().out


def test_a_table_that_does_not_fit_is_neither_compared_nor_written(root, monkeypatch, capsys):
    page = root / 'docs/figures.md'
    page.write_text(PAGE.replace('| *test* | 90.0', '| *other* | 90.0'))
    before = page.read_text()
    assert main(root, monkeypatch, 'sets', '--write') == 1
    assert "only the page has ['*other* | 90.0 ±0.5 | 2,000']" in capsys.readouterr().out
    assert page.read_text() == before


def test_new_cells_are_written_with_date_and_machine(root, monkeypatch, capsys):
    measure(root, val=89.0, test=90.0)
    assert main(root, monkeypatch, '--write') == 1  # they differ, written or not
    text = (root / 'docs/figures.md').read_text()
    (line, other) = re.findall(r'\n\nMeasured on .*\n', text)
    when, what = (
        r'\d{4}-\d\d-\d\d in \d+ s',
        r'\d+ cores of an .*, threads: \d+, Python 3\..*, torch .*, transformers .*',
    )
    assert re.fullmatch(rf'\n\nMeasured on {when}: {what}\.\n', line)
    expected = PAGE.replace('91.6 ±0.5 | 1,000', '89.0 ±0.5 | 1,500').replace('90.0 ±0.5 | 2,000', '90.0 ±0.5 | 1,000')
    assert text == expected.replace('1,000 |\n\nBehind', f'1,000 |{line}\nBehind').removesuffix('\n') + other
    assert '55.5 | 7' in text  # history
    capsys.readouterr()
    assert main(root, monkeypatch, '--write') == 0
    assert (root / 'docs/figures.md').read_text() == text


def test_results_of_unknown_origin_are_compared_but_not_written(root, monkeypatch, capsys):
    (root / 'work_dirs/found.json').write_text((root / 'figures.json').read_text())
    assert main(root, monkeypatch, 'sets') == 0
    assert main(root, monkeypatch, 'sets', '--write') == 1
    assert 'ran without this tool, so when and on what is not known; --again runs it here' in capsys.readouterr().out
    assert (root / 'docs/figures.md').read_text() == PAGE
    assert not (root / 'work_dirs/runs.txt').exists()


def test_list(root, monkeypatch, capsys):
    assert main(root, monkeypatch, '--list') == 0
    assert capsys.readouterr().out.splitlines() == [
        'sets: about 2 min',
        '  docs/figures.md:6 sets.all',
        '    # to be run',
        "    echo 'once' >> work_dirs/runs.txt && cp figures.json work_dirs/found.json",
        'printed: about 0.5 min',
        '  docs/figures.md:19 printed.answer',
        '    # to be run',
        '    print(6 * 7)',
    ]
    assert list((root / 'work_dirs').iterdir()) == []


def test_a_name_that_is_none(root, monkeypatch, capsys):
    assert main(root, monkeypatch, 'sets', 'stes') == 2
    assert "unknown ['stes'], expected of ['sets', 'printed']" in capsys.readouterr().err


def test_a_mark_of_a_table_that_is_not_made(root, monkeypatch):
    page = root / 'docs/figures.md'
    page.write_text(PAGE.replace('sets.all', 'sets.none'))
    with pytest.raises(ValueError, match=r"figures\.md:6 'sets' makes no table 'none', only \['all'\]"):
        main(root, monkeypatch, 'sets')


def test_pages_that_name_different_commands(root, monkeypatch):
    (root / 'README.md').write_text(PAGE.replace("'once'", "'once' more"))
    (root / 'docs/figures.md').write_text(PAGE.replace("'once'", "'once' less"))
    monkeypatch.setitem(MEASUREMENTS, 'sets', MEASUREMENTS['sets'])
    with pytest.raises(ValueError, match='pages differ in the command'):
        main(root, monkeypatch, 'sets')
