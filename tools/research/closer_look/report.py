"""What the answers come to."""

import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from closer_look.conditions import REGIONS, conditions
from flmm.atomic_write import write_json

Z = 1.96
TOPICS = {'kind': ('kind',), 'colour': ('colour',), 'both': ('kind', 'colour')}
SKILLS = {'ordinary': 'shapes of ordinary sizes', 'named': 'names the object that matters'}
Rows = list[list[str]]


def wilson_interval(hits: int, number: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, 0 to 1 (Wilson, 1927)."""
    share, spread = hits / number, Z**2 / number
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / number + spread / (4 * number))
    return middle - half, middle + half


def way_rows(files: Sequence[Path]) -> Rows:
    """How many answers are right, by condition, against the plain reading of the same questions."""
    questions = load(files)
    rows = [['percent right', 'tokens', 'ms', *TOPICS, '95 % interval', 'gained', 'lost']]
    for name, condition in conditions().items():
        right = [_is_right(question, name) for question in questions]
        plain = [_is_right(question, 'plain') for question in questions]
        low, high = wilson_interval(sum(right), len(right))
        topics = [question['topic'] for question in questions]
        cells = [
            _percent([hit for hit, topic in zip(right, topics, strict=True) if topic in wanted])
            for wanted in TOPICS.values()
        ]
        pairs = list(zip(right, plain, strict=True))
        rows.append(
            [
                condition.label,
                f'{_mean(questions, name, "tokens"):.0f}',
                f'{1000 * _mean(questions, name, "seconds"):.0f}',
                *cells,
                f'{100 * low:.1f} to {100 * high:.1f}',
                _percent([hit and not before for hit, before in pairs]),
                _percent([before and not hit for hit, before in pairs]),
            ]
        )
    return rows


def skill_rows(files: Sequence[Path]) -> Rows:
    """What each fine-tuned LMM knows: shapes of ordinary sizes, and which object matters."""
    rows = [['percent right', *TOPICS]]
    for folder in dict.fromkeys(file.parent for file in files):
        skills = json.loads((folder / 'skills.json').read_text(encoding='utf-8'))
        for skill, label in SKILLS.items():
            right = [(asked['topic'], asked['said'] == asked['answer']) for asked in skills[skill]]
            cells = [_percent([hit for topic, hit in right if topic in topics]) for topics in TOPICS.values()]
            rows.append([f'{label}, {folder.name.replace("_", " ")}', *cells])
    return rows


def region_rows(files: Sequence[Path]) -> Rows:
    """How much of the shape the regions hold, and how the answers go with it."""
    questions = load(files)
    rows = [['image and crop', 'holds the shape', 'holds none of it', 'right where it holds it', 'right elsewhere']]
    for region, label in REGIONS.items():
        said = [(question, question['said'][f'image_and_crop_{region}']) for question in questions]
        holds = [answer['covered'] >= 0.9 for _, answer in said]
        right = [answer['said'] == question['answer'] for question, answer in said]
        rows.append(
            [
                label,
                _percent(holds),
                _percent([answer['covered'] == 0 for _, answer in said]),
                _percent([hit for hit, held in zip(right, holds, strict=True) if held]),
                _percent([hit for hit, held in zip(right, holds, strict=True) if not held]),
            ]
        )
    return rows


TABLES: dict[str, Callable[[Sequence[Path]], Rows]] = {
    'ways': way_rows,
    'skills': skill_rows,
    'regions': region_rows,
}


def write_report(files: Sequence[Path], folder: Path) -> str:
    """Write all tables: ``tables.json``, their cells by name, and ``tables.md``, which is returned."""
    found = {name: make(files) for name, make in TABLES.items()}
    write_json(folder / 'tables.json', found)
    text = '\n'.join(map(_markdown, found.values()))
    (folder / 'tables.md').write_text(text, encoding='utf-8')
    return text


def load(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Read the questions of several files."""
    return [question for file in files for question in json.loads(file.read_text(encoding='utf-8'))]


def _is_right(question: dict[str, Any], name: str) -> bool:
    return question['said'][name]['said'] == question['answer']


def _mean(questions: list[dict[str, Any]], name: str, key: str) -> float:
    return statistics.mean(question['said'][name][key] for question in questions)


def _percent(flags: list[bool]) -> str:
    return f'{100 * sum(flags) / len(flags):.1f}' if flags else ''


def _markdown(rows: Rows) -> str:
    header, *others = rows
    rule = ['---', *['---:'] * (len(header) - 1)]
    return ''.join(f'| {" | ".join(row)} |\n' for row in (header, rule, *others))
