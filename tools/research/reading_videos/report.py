"""The tables of the experiment, made of how each expression was scored."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flmm.atomic_write import write_json, write_text
from reading_videos.answers import UNSAID

Rows = list[list[str]]
CONDITIONS = {
    'video': 'video tokens',
    'images': 'single images',
    'held': 'first frame alone, its mask held',
    'untuned_images': 'single images, LMM as it ships',
    'untuned_video': 'video tokens, LMM as it ships',
}
LMMS = {'untuned': 'the demo LMM as it ships', 'tuned': 'tuned on shapes in motion'}
KINDS = {'all': None, 'still': False, 'motion': True}
"""Group of expressions -> whether its expressions are about motion."""


def write_report(files: Mapping[int, Sequence[Path]], answers: Mapping[str, Path], folder: Path) -> str:
    """Write ``tables.json``, the cells of each table by name, and ``tables.md``, which is returned.

    Args:
        files: by seed those that :func:`reading_videos.measure.measure` has written.
        answers: by key of :data:`LMMS` that which :func:`reading_videos.answers.ask` has written.
        folder: where to write.
    """
    scores = {
        seed: [score for path in paths for score in json.loads(path.read_text(encoding='utf-8'))]
        for seed, paths in files.items()
    }
    said = {name: json.loads(path.read_text(encoding='utf-8')) for name, path in answers.items()}
    tables = {'answers': answer_rows(said), 'ways': way_rows(scores), 'kinds': kind_rows(scores)}
    write_json(folder / 'tables.json', tables)
    text = '\n'.join(map(_markdown, tables.values()))
    write_text(folder / 'tables.md', text)
    return text


def answer_rows(said: Mapping[str, list[dict[str, Any]]]) -> Rows:
    """How many first places of sentences an LMM says right, in percent, by group of sentences."""
    groups = ('still', 'motion', UNSAID)
    rows = [['places that the LMM says, percent right', *groups]]
    for name, label in LMMS.items():
        right = [[each['right'] for each in said[name] if each['group'] == group] for group in groups]
        rows.append([label, *(f'{100 * statistics.mean(each):.1f}' for each in right)])
    return rows


def way_rows(scores: Mapping[int, list[dict[str, Any]]]) -> Rows:
    """J&F of refined masks by condition and group of expressions, and of coarse ones: mean over seeds, and range."""
    rows = [['frames read as', *(f'J&F {group}' for group in KINDS), 'J', 'F', 'coarse J&F']]
    for condition, label in CONDITIONS.items():
        found = {seed: [s for s in each if s['condition'] == condition] for seed, each in scores.items()}
        if not any(found.values()):
            continue
        refined = {seed: [s for s in each if s['source'] == 'refined'] for seed, each in found.items()}
        coarse = {seed: [s for s in each if s['source'] == 'coarse'] for seed, each in found.items()}
        groups = [
            [[s for s in each if moves in (None, _is_motion(s))] for each in refined.values()]
            for moves in KINDS.values()
        ]
        cells = [[_both(each) for each in group if each] for group in (*groups, coarse.values())]
        means = [[100 * statistics.mean(s[name] for s in each) for each in refined.values() if each] for name in 'JF']
        rows.append([label, *map(_over_seeds, [*cells[:-1], *means, cells[-1]])])
    return rows


def kind_rows(scores: Mapping[int, list[dict[str, Any]]]) -> Rows:
    """J&F of refined masks by kind of expression, mean over seeds, and how many expressions there are."""
    first = next(iter(scores.values()))
    conditions = [name for name in CONDITIONS if any(s['condition'] == name for s in first)]
    rows = [['kind', 'expressions', *(CONDITIONS[name] for name in conditions)]]
    for kind in sorted({s['kind'] for s in first}, key=lambda kind: (':' in kind, kind)):
        cells, count = [], 0
        for condition in conditions:
            per_seed = [
                [s for s in each if (s['condition'], s['source'], s['kind']) == (condition, 'refined', kind)]
                for each in scores.values()
            ]
            cells.append([_both(each) for each in per_seed if each])
            count = max(count, *map(len, per_seed))
        rows.append([kind, str(count), *(f'{statistics.mean(cell):.1f}' if cell else '' for cell in cells)])
    return rows


def _is_motion(score: dict[str, Any]) -> bool:
    return score['kind'].startswith('motion')


def _both(scores: list[dict[str, Any]]) -> float:
    """J&F in percent."""
    return 50 * statistics.mean(score['J'] + score['F'] for score in scores)


def _over_seeds(values: list[float]) -> str:
    if not values:
        return ''
    mean = f'{statistics.mean(values):.1f}'
    return mean if len(values) == 1 else f'{mean} ({min(values):.1f} to {max(values):.1f})'


def _markdown(rows: Rows) -> str:
    header, *others = rows
    rule = ['---', *['---:'] * (len(header) - 1)]
    return ''.join(f'| {" | ".join(row)} |\n' for row in (header, rule, *others))
