"""Whether a closer look at a region helps the demo LMM to answer questions about small shapes."""

from functools import partial
from pathlib import Path

from research.measurements.measurement import Command, Measurement, Table, read_json

TABLES = 'work_dirs/visual_chain_of_thought/tables.json'


def rows(root: Path, *, name: str) -> list[list[str]]:
    """Read a table as the tool has made it."""
    return read_json(root / TABLES)[name]


MEASUREMENTS = (
    Measurement(
        name='visual_chain',
        minutes=45,
        commands=(Command(text='python tools/research/visual_chain_of_thought.py', writes=(TABLES,)),),
        tables={
            'ways': Table(rows=partial(rows, name='ways'), tolerance=6.0, times=('ms',)),
            'skills': Table(rows=partial(rows, name='skills'), tolerance=10.0),
            'regions': Table(rows=partial(rows, name='regions'), tolerance=10.0),
        },
    ),
)
