"""What the answers come to."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flmm.atomic_write import write_json, write_text
from reinforcement.conditions import BEFORE, CONDITIONS, REWARD

Rows = list[list[str]]


def accuracy_rows(folder: Path, seeds: list[int]) -> Rows:
    """What each model says of held-out scenes."""
    columns = {
        'points on shapes': ('greedy', 'point_in_mask'),
        'IoU of what phrases ground': ('greedy', 'mask_iou'),
        'sampled: points': ('sampled', 'point_in_mask'),
        'sampled: IoU': ('sampled', 'mask_iou'),
    }
    rows = [['percent, mean (lowest to highest)', *columns, 'phrases', 'CPU s of training']]
    for condition, label in CONDITIONS.items():
        found = [_read(folder, seed, condition) for seed in seeds]
        cells = [
            _spread([100 * statistics.mean(row[reward] for row in answers[how]) for answers in found])
            for how, reward in columns.values()
        ]
        phrases = statistics.mean(row['said'].count('.') + 1 for answers in found for row in answers['greedy'])
        seconds = statistics.mean(answers['seconds'] for answers in found)
        rows.append([label, *cells, f'{phrases:.1f}', f'{seconds:.0f}'])
    return rows


def reward_rows(folder: Path, seeds: list[int]) -> Rows:
    """What was logged of the trainings, in the first and in the last quarter of their steps."""
    columns = {'reward': 'reward', 'KL': 'kl', 'entropy': 'entropy', 'tokens': 'completions/mean_length'}
    header = [f'{name}, {when}' for name in columns for when in ('first', 'last')]
    rows = [['training, mean of seeds', *header]]
    for condition in REWARD:
        logs = [_log(folder, seed, condition) for seed in seeds]
        cells = [
            f'{statistics.mean(entry[key] for log in logs for entry in part(log)):.3f}'
            for key in columns.values()
            for part in (_first, _last)
        ]
        rows.append([CONDITIONS[condition], *cells])
    return rows


def change_rows(folder: Path, seeds: list[int]) -> Rows:
    """By how much each way changes a model, in points, seed by seed."""
    rows = [['change by seed, in points', 'points on shapes', 'IoU of what phrases ground']]
    for condition, label in list(CONDITIONS.items())[1:]:
        cells = []
        for reward in ('point_in_mask', 'mask_iou'):
            before, after = (
                [100 * statistics.mean(row[reward] for row in _read(folder, seed, name)['greedy']) for seed in seeds]
                for name in (BEFORE, condition)
            )
            cells.append(', '.join(f'{b - a:.1f}' for a, b in zip(before, after, strict=True)))
        rows.append([label, *cells])
    return rows


def head_rows(folder: Path, seeds: list[int]) -> Rows:
    """What mask heads ground over the LMM as it was and over one that was trained."""
    heads = json.loads((folder / 'heads.json').read_text(encoding='utf-8'))
    rows = [['coarse IoU of "the COLOUR KIND", percent', 'IoU']]
    return rows + [[label, f'{100 * iou:.1f}'] for label, iou in heads.items()]


TABLES: dict[str, Callable[[Path, list[int]], Rows]] = {
    'accuracy': accuracy_rows,
    'changes': change_rows,
    'rewards': reward_rows,
    'heads': head_rows,
}


def write_report(folder: Path, seeds: list[int]) -> str:
    """Write all tables: ``tables.json``, their cells by name, and ``tables.md``, which is returned."""
    found = {name: make(folder, seeds) for name, make in TABLES.items()}
    write_json(folder / 'tables.json', found)
    text = '\n'.join(map(_markdown, found.values()))
    write_text(folder / 'tables.md', text)
    return text


def _read(folder: Path, seed: int, condition: str) -> dict[str, Any]:
    return json.loads((folder / f'seed_{seed}' / condition / 'answers.json').read_text(encoding='utf-8'))


def _log(folder: Path, seed: int, condition: str) -> list[dict[str, Any]]:
    file = folder / f'seed_{seed}' / condition / 'trainer_state.json'
    return [entry for entry in json.loads(file.read_text(encoding='utf-8'))['log_history'] if 'reward' in entry]


def _first(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return log[: max(1, len(log) // 4)]


def _last(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return log[-max(1, len(log) // 4) :]


def _spread(values: list[float]) -> str:
    return f'{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})'


def _markdown(rows: Rows) -> str:
    header, *others = rows
    rule = ['---', *['---:'] * (len(header) - 1)]
    return ''.join(f'| {" | ".join(row)} |\n' for row in (header, rule, *others))
