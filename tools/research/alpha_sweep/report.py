"""The results of a sweep as a table and a plot."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alpha_sweep.conditions import MEASURES, ORACLES, all_conditions
from flmm.evaluation import align_rows

COLUMNS = ('refined/mIoU', 'coarse/mIoU', 'refined/cIoU', 'coarse/cIoU')
CONTROL_STYLES = {'dense': '*', 'even': 'X', 'drop': 's', 'downsample': 'D', **dict.fromkeys(ORACLES, 'P')}
SELECTION_STYLES = {'budget': 'o-', 'random_budget': 'v--', 'copy': 'd--', 'capped': 'h-', 'v1': 'x', 'v2': '^:'}


def load_results(work_dir: Path, scenes: Iterable[str]) -> list[dict[str, Any]]:
    """Read the results that are there, in the order of the conditions."""
    files = [work_dir / name / f'{condition.name}.json' for name in scenes for condition in all_conditions()]
    return [json.loads(file.read_text(encoding='utf-8')) for file in files if file.exists()]


def format_text(results: list[dict[str, Any]]) -> str:
    """Lay out the results for a terminal."""
    return align_rows(_rows(results), num_left=2) + '\n'


def format_markdown(results: list[dict[str, Any]]) -> str:
    """Lay out the results for a document."""
    header, *rows = _rows(results)
    rule = ['---', '---', *['---:'] * (len(header) - 2)]
    return ''.join(f'| {" | ".join(row)} |\n' for row in (header, rule, *rows))


def _rows(results: list[dict[str, Any]]) -> list[list[str]]:
    rows = [['scenes', 'condition', 'tokens', 'kept %', *(column.replace('/', ' ') for column in COLUMNS)]]
    for result in results:
        values = [result['tokens'], 100 * result['kept_fraction'], *(result['metrics'][column] for column in COLUMNS)]
        rows.append([result['scenes'], result['condition']['name'], *(f'{value:.1f}' for value in values)])
    return rows


def best_oracle(results: list[dict[str, Any]]) -> str | None:
    """Name the oracle of the highest mean refined mIoU where all that were run have a result; None if there is none.

    It is chosen on the images that are reported, so its figures are a little too good.
    """
    scores: dict[str, dict[tuple, float]] = {}  # series -> (scenes, alpha) -> mIoU
    for result in results:
        series, alpha = result['condition']['series'], result['condition']['alpha']
        if series in ORACLES:
            scores.setdefault(series, {})[result['scenes'], alpha] = result['metrics']['refined/mIoU']
    if not scores:
        return None
    common = set.intersection(*map(set, scores.values()))
    return max(scores, key=lambda series: sum(scores[series][key] for key in common))


def draw(results: list[dict[str, Any]]) -> Figure:
    """Plot mIoU against the mean share of tokens kept: a row for each kind of scenes, refined left, coarse right.

    A line is a measure (colour) under a selection (marker), or a control (black); of the oracles the best is drawn.
    """
    scenes = list(dict.fromkeys(result['scenes'] for result in results))
    figure = Figure(figsize=(13, 5.5 * len(scenes)), layout='constrained')
    oracle = best_oracle(results)
    for row, name in zip(figure.subplots(len(scenes), 2, squeeze=False), scenes, strict=True):
        members = [result for result in results if result['scenes'] == name]
        for axes, source in zip(row, ('refined', 'coarse'), strict=True):
            _draw_lines(axes, members, metric=f'{source}/mIoU', oracle=oracle)
            axes.set(title=f'{name} scenes', xlabel='image tokens kept, %', ylabel=f'{source} mIoU, %')
            axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside right upper', fontsize='small')
    return figure


def _draw_lines(axes: Axes, results: list[dict[str, Any]], *, metric: str, oracle: str | None) -> None:
    lines: dict[str, list[tuple[float, float]]] = {}
    for result in results:
        point = 100 * result['kept_fraction'], result['metrics'][metric]
        lines.setdefault(result['condition']['series'], []).append(point)
    colours = dict(zip(MEASURES, matplotlib.color_sequences['tab10'], strict=True))
    for series, points in lines.items():
        if series in ORACLES and series != oracle:
            continue
        selection, _, measure = series.partition(' ')
        if measure:
            style, colour = SELECTION_STYLES[selection], colours[measure]
        else:
            style, colour = f'{CONTROL_STYLES[selection]}--', 'black'
        axes.plot(*zip(*sorted(points), strict=True), style, color=colour, label=series, markersize=6)
