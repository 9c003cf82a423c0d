"""What reinforcement makes of the demo LMM, beside supervision and a control."""

from functools import partial
from pathlib import Path

from research.measurements.measurement import Command, Measurement, Table, read_json

TABLES = 'work_dirs/reinforce_demo/tables.json'


def rows(root: Path, *, name: str) -> list[list[str]]:
    """Read a table as the tool has made it."""
    return read_json(root / TABLES)[name]


MEASUREMENTS = (
    Measurement(
        name='reinforcement',
        minutes=25,
        commands=(Command(text='python tools/research/reinforce_demo.py', writes=(TABLES,)),),
        tables={
            'accuracy': Table(rows=partial(rows, name='accuracy'), tolerance=8.0, times=('CPU s*',)),
            'changes': Table(rows=partial(rows, name='changes'), tolerance=8.0),
            'heads': Table(rows=partial(rows, name='heads'), tolerance=6.0),
            'rewards': Table(rows=partial(rows, name='rewards'), tolerance=0.5),
        },
    ),
)
