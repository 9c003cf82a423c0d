"""Metrics, or any rows of cells, as text tables."""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from flmm.plain_text import display_width, printable
from flmm.scoring.metrics import METRICS, METRICS_OF_KINDS, RECALLS
from flmm.scoring.metrics_file import to_json
from flmm.scoring.phrase_score import SOURCES
from flmm.scoring.video_metrics import VIDEO_METRICS, VIDEO_METRICS_OF_KINDS
from flmm.test_set_names import split_name

ALL_METRICS = (*VIDEO_METRICS, *METRICS)
OF_KINDS = (*VIDEO_METRICS_OF_KINDS, *METRICS_OF_KINDS)
FIGURE = re.compile(
    rf'/(?P<source>{"|".join(SOURCES)})/(?P<metric>{"|".join(map(re.escape, ALL_METRICS))})(?P<end>_low|_high|)(?=/|\Z)'
)
IN_PAPERS = (*VIDEO_METRICS, 'mIoU', 'gIoU', 'cIoU', 'N_acc', 'T_acc', 'Pr@0.5', 'Pr@0.7', 'Pr@0.9', *RECALLS)
"""Metrics that a table has if nothing else is said."""
WIDTH = 120
"""Most columns of a table, in characters; one with more test sets is continued below."""
LONGEST_VALUE = 100
RUN_KEY = 'run'
"""What a run was, in metrics.json: no metric."""

Row = tuple[str, str, str]
"""(source, metric, kind); the kind is '' for all phrases."""
Figures = dict[str, dict[Row, dict[str, float]]]
"""Test set -> row -> percent: '' is the value, '_low' and '_high' are the ends of its interval."""


def format_table(
    *runs: Mapping[str, Any], names: Sequence[str] = (), metrics: Collection[str] | None = IN_PAPERS
) -> str:
    """Lay out metrics as papers do: a column for each test set, by dataset, and a block of rows for each protocol.

    A row is a metric of refined or coarse masks; those of kinds of expressions stand below the others. A value stands
    with half the width of its 95 % interval where that is known. Of several runs, each that has such figures has a line
    in the row. Metrics of other evaluators, whatever their names and values, follow below, a line each. The last line
    names what is not shown.

    Args:
        *runs: metrics of each run, ``[<prefix>/]<test set>/<refined|coarse>/<metric>[_low|_high][/<kind>]`` -> percent,
            and any others. Names of test sets and kinds may hold '/'. A figure that is not defined is nan, or None as
            in metrics.json, whose ``run`` is left out.
        names: what the runs are called; may be left out of a single one.
        metrics: which of :data:`ALL_METRICS` are shown; None shows all, and those of kinds.

    Raises:
        ValueError: several runs have no names, or two have the same.

    >>> print(format_table({'refcoco_val_first_sentence/refined/mIoU': 70.25, 'png_val/refined/mIoU': 65}))
    first sentence  RefCOCO
                        val
    refined mIoU       70.2
    <BLANKLINE>
                  png_val
    refined mIoU     65.0
    """
    names = [printable(name) for name in names or [''] * len(runs)]
    if len(set(names)) < len(runs):
        raise ValueError(f'names of runs are {names} for {len(runs)} runs; give each a name of its own')
    read = [_read(run) for run in runs]
    left_out: set[str] = set()
    if metrics is not None:
        for figures, _ in read:
            left_out |= _leave_out(figures, metrics)
    blocks: dict[str, list[str]] = {}  # protocol -> test sets
    for name in dict.fromkeys(name for figures, _ in read for name in figures):
        blocks.setdefault(split_name(name).protocol, []).append(name)
    parts = []
    for protocol, test_sets in blocks.items():
        datasets = list(dict.fromkeys(split_name(name).dataset for name in test_sets))
        test_sets.sort(key=lambda name: datasets.index(split_name(name).dataset))
        lines = {label: figures for label, (figures, _) in zip(names, read, strict=True)}
        parts += _tables(protocol.replace('_', ' '), test_sets, lines)
    others = [
        [key, *([name] if any(names) else []), value]
        for name, (_, rest) in zip(names, read, strict=True)
        for key, value in rest
    ]
    if others:
        parts.append(align_rows(others, num_left=3))
    if left_out:
        parts.append(f'Not shown, but in the JSON file of all metrics: {", ".join(sorted(left_out))}')
    return '\n\n'.join(parts)


def _read(metrics: Mapping[str, Any]) -> tuple[Figures, list[tuple[str, str]]]:
    """Part the figures of GroundingMetric from other metrics, which become a key and a text."""
    figures: Figures = {}
    others = []
    for key, value in metrics.items():
        place, (plain, problem) = _place(str(key), metrics), to_json(value)
        is_figure = problem is None and not isinstance(plain, bool) and isinstance(plain, (int, float, type(None)))
        if place is not None and is_figure:
            name, row, end = place
            figures.setdefault(name, {}).setdefault(row, {})[end] = float('nan') if plain is None else plain
        elif not (key == RUN_KEY and isinstance(value, Mapping)):
            others.append((printable(str(key)), _in_short(value if plain is None else plain)))
    return figures, others


def _leave_out(figures: Figures, metrics: Collection[str]) -> set[str]:
    """Take what is not to be shown out of figures, and return what it is."""
    left_out = set()
    for name, rows in list(figures.items()):
        figures[name] = {row: ends for row, ends in rows.items() if row[1] in metrics and not row[2]}
        left_out |= {f'{row[1]} of kinds' if row[2] else row[1] for row in rows.keys() - figures[name].keys()}
        if not figures[name]:
            del figures[name]
    return left_out


def _place(key: str, metrics: Mapping[str, Any]) -> tuple[str, Row, str] | None:
    """Split a key of GroundingMetric into test set, row, and end of the interval; None if it is none.

    Names of test sets and kinds may look like metrics themselves. A kind belongs to a test set that has the metric
    itself, too; where none has, the last metric that the key names counts.
    """
    places = []
    for match in FIGURE.finditer(key):
        name, rest = key[: match.start()], key[match.end() :]
        if not name or (rest and match['metric'] not in OF_KINDS):
            continue
        places.append((name, (match['source'], match['metric'], rest[1:]), match['end']))
        if rest and key[: match.end()] in metrics:
            return places[-1]
    return places[-1] if places else None


def _tables(title: str, test_sets: list[str], runs: Mapping[str, Figures]) -> Iterator[str]:
    """Lay out the test sets of a protocol, in as many tables as they need."""
    found = dict.fromkeys(row for figures in runs.values() for name in test_sets for row in figures.get(name, {}))
    rows = sorted(found, key=lambda row: (row[2] != '', SOURCES.index(row[0]), ALL_METRICS.index(row[1])))
    lines = [  # of each row those runs that have a figure in it
        (row, run)
        for row in rows
        for run, figures in runs.items()
        if any(row in figures.get(name, {}) for name in test_sets)
    ]
    labels = [[title, ''], ['', '']]
    for index, ((source, metric, kind), run) in enumerate(lines):
        label = f'{source} {metric}{": " if kind else ""}{printable(kind)}'
        labels.append(['' if index and lines[index - 1][0] == lines[index][0] else label, run])
    left = align_rows(labels, num_left=2).split('\n')
    columns = [(printable(split_name(name).title), [printable(split_name(name).split)]) for name in test_sets]
    for name, (_, cells) in zip(test_sets, columns, strict=True):
        cells += [_cell(runs[run].get(name, {}).get(row, {})) for row, run in lines]
    widths = [max(map(display_width, cells)) + 2 for _, cells in columns]
    start = 0
    while start < len(columns):
        end = start + 1
        while end < len(columns) and _width(left) + sum(widths[start : end + 1]) <= WIDTH:
            end += 1
        yield _joined(left, columns[start:end])
        start = end


def _cell(figure: Mapping[str, float]) -> str:
    """Write a figure with half the width of its interval, of the ends that are known of it."""
    half = f' ±{(figure["_high"] - figure["_low"]) / 2:.1f}' if {'_low', '_high'} <= figure.keys() else ''
    return f'{figure[""]:.1f}{half}' if '' in figure else '-'


def _joined(left: list[str], columns: list[tuple[str, list[str]]]) -> str:
    """Put columns side by side, and above those of a dataset its title."""
    blocks = [[line + ' ' * (_width(left) - display_width(line)) for line in left]]
    for title, members in itertools.groupby(columns, key=lambda column: column[0]):
        lines = align_rows(list(zip(*(cells for _, cells in members), strict=True)), num_left=0).split('\n')
        width = _width([title, *lines])
        blocks.append([title + ' ' * (width - display_width(title))])
        blocks[-1] += [' ' * (width - display_width(line)) + line for line in lines]
    table = ['  '.join(parts).rstrip() for parts in zip(*blocks, strict=True)]
    return '\n'.join(table if table[0] else table[1:])  # the first line is empty where no dataset is known


def _width(lines: Sequence[str]) -> int:
    return max(map(display_width, lines))


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
