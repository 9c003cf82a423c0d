"""Metrics, or any rows of cells, as a text table."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flmm.evaluation.metrics_file import to_json
from flmm.plain_text import display_width, printable

COLUMNS = ('coarse/cIoU', 'coarse/mIoU', 'refined/cIoU', 'refined/mIoU')
COLUMN = re.compile(r'/((?:coarse|refined)/(?:cIoU|mIoU))(?=/|\Z)')
LONGEST_VALUE = 100


def format_table(metrics: Mapping[str, Any]) -> str:
    """Lay out metrics: a line for each test set of GroundingMetric, below it one for each kind of expression.

    Metrics of other evaluators, whatever their names and values, follow below, a line each: ``key  value``.

    Args:
        metrics: ``[<prefix>/]<dataset_name>/<coarse|refined>/<cIoU|mIoU>[/<kind>]`` -> percent, and any others. Names
            of datasets and kinds may hold '/'. A figure that is not defined is nan, or None as in metrics.json.
    """
    lines: dict[str, dict[str | None, dict[str, float]]] = {}  # test set -> kind or None -> column -> percent
    others = []
    for key, value in metrics.items():
        place, (plain, problem) = _place(str(key), metrics), to_json(value)
        is_figure = problem is None and not isinstance(plain, bool) and isinstance(plain, (int, float, type(None)))
        if place is None or not is_figure:
            others.append([printable(str(key)), _in_short(value if plain is None else plain)])
            continue
        name, column, kind = place
        rows = lines.setdefault(name, {None: {}})  # the whole test set stands above its kinds
        rows.setdefault(kind, {})[column] = float('nan') if plain is None else plain
    table = [['test set', *(column.replace('/', ' ') for column in COLUMNS)]]
    for name, rows in lines.items():
        for kind, row in rows.items():
            cells = (f'{row[column]:.1f}' if column in row else '-' for column in COLUMNS)
            table.append([printable(name) if kind is None else f'  {printable(kind)}', *cells])
    parts = [align_rows(table)] if lines or not others else []
    return '\n\n'.join([*parts, align_rows(others, num_left=2)] if others else parts)


def _place(key: str, metrics: Mapping[str, Any]) -> tuple[str, str, str | None] | None:
    """Split a key of GroundingMetric into test set, column and kind; None if it is none.

    Names of test sets and kinds may look like columns themselves. A kind belongs to a test set whose own mIoU is there,
    too; where none is, the last column of the key counts.
    """
    places = []
    for match in COLUMN.finditer(key):
        name, column, rest = key[: match.start()], match[1], key[match.end() :]
        kind = rest[1:] if rest else None
        if not name or (kind is not None and column.endswith('cIoU')):
            continue
        if kind is not None and f'{name}/{column}' in metrics:
            return name, column, kind
        places.append((name, column, kind))
    return places[-1] if places else None


def _in_short(value: Any) -> str:
    """Write a value on one line that is not too long; metrics.json has the whole."""
    text = printable(' '.join(str(value).split()))
    return text if len(text) <= LONGEST_VALUE else f'{text[:LONGEST_VALUE]}…'


def align_rows(rows: Sequence[Sequence[str]], *, num_left: int = 1) -> str:
    """Align the columns of rows of equal length: the first ``num_left`` left, the others right.

    Wide characters, such as Chinese ones, count as two columns of the terminal.
    """
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        paddings = [' ' * (width - display_width(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [
            cell + padding if index < num_left else padding + cell
            for index, (cell, padding) in enumerate(zip(row, paddings, strict=True))
        ]
        lines.append('  '.join(cells).rstrip())
    return '\n'.join(lines)
