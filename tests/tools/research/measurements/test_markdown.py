"""Tables, marks and code of pages that are written here."""

from pathlib import Path

import pytest
from research.measurements.markdown import Code, measured_on, named_code, tables, write_table

LOOP = 'for name in x y; do\n  python tools/c.py $name\ndone\n| not | a table |\n| --- | --- |'
PAGE = r"""# A page

    make demo

| no | mark |
| --- | --- |
| 1 | 2 |

Text by `python tools/a.py`, and `python
tools/b.py --seed 0`.

<!-- measured: demo.sets -->
| set | mIoU |
| --- | ---: |
| val \| test | 91.8 |
| | 3 |

Measured on 2026-11-21: a machine.
And more.

<!-- not measured: sizes -->
| size | bytes |
|---|---|
| small | 12 |

```bash
for name in x y; do
  python tools/c.py $name
done
| not | a table |
| --- | --- |
```

    OMP_NUM_THREADS=2 python tools/d.py \
        --sizes 1 2
    python tools/d.py

```python
print(1)
```
"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / 'page.md'
    path.write_text(PAGE)
    return path


def test_tables_and_their_marks(page):
    unmarked, measured, other = tables(page)
    assert (unmarked.line, unmarked.measured, unmarked.reason) == (5, None, None)
    assert unmarked.rows == [['no', 'mark'], ['1', '2']]
    assert (measured.line, measured.measured, measured.reason) == (13, 'demo.sets', None)
    assert measured.rows == [['set', 'mIoU'], [r'val \| test', '91.8'], ['', '3']]
    assert (other.measured, other.reason, other.rows[1:]) == (None, 'sizes', [['small', '12']])
    assert [measured_on(table) for table in tables(page)] == [None, 'Measured on 2026-11-21: a machine.', None]


@pytest.mark.parametrize(
    ('text', 'code'),
    [
        ('make demo', Code('', 'make demo')),
        ('python tools/a.py', Code('', 'python tools/a.py')),
        ('python tools/b.py', Code('', 'python tools/b.py --seed 0')),
        ('for name in x', Code('bash', LOOP)),
        ('tools/d.py --sizes 1', Code('', 'OMP_NUM_THREADS=2 python tools/d.py \\\n        --sizes 1 2')),
        ('python tools/d.py', Code('', 'python tools/d.py')),  # the whole line wins over one that holds it
        ('print(', Code('python', 'print(1)')),
    ],
)  # fmt: skip
def test_a_command_is_found_whole(page, text, code):
    assert named_code(page, text) == code


def test_a_command_that_is_not_there_or_not_clear(page):
    with pytest.raises(ValueError, match=r"page.md does not name the command 'make test'; add it to the page"):
        named_code(page, 'make test')
    with pytest.raises(ValueError, match=r"'python tools' could be each of \[.*'python tools/a.py', .*\] in .*page.md"):
        named_code(page, 'python tools')


def test_cells_are_written_and_nothing_else(page):
    _, measured, other = tables(page)
    write_table(other, [['size', 'bytes'], ['small', '13']], measured_on='Measured on 2026-11-22: here.')
    rows = [*measured.rows[:1], [r'val \| test', '90.1'], ['', '3']]
    write_table(measured, rows, measured_on='Measured on 2026-11-23: here.')
    expected = PAGE.replace('91.8', '90.1').replace('2026-11-21: a machine.', '2026-11-23: here.')
    expected = expected.replace('| small | 12 |\n', '| small | 13 |\n\nMeasured on 2026-11-22: here.\n')
    assert page.read_text() == expected
    assert [measured_on(table) for table in tables(page)][2] == 'Measured on 2026-11-22: here.'


def test_a_table_that_ends_the_page(tmp_path):
    page = Path(tmp_path, 'page.md')
    page.write_text('| a | b |\n|---|---|\n| x | 1 |\n')
    write_table(tables(page)[0], [['a', 'b'], ['x', '2']], measured_on='Measured on 2026-11-22: here.')
    assert page.read_text() == '| a | b |\n|---|---|\n| x | 2 |\n\nMeasured on 2026-11-22: here.\n'
