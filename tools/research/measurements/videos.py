"""Frames of a video as video tokens or as single images, on shapes in motion."""

from functools import partial
from pathlib import Path

from research.measurements.measurement import Command, Measurement, Table, read_json

TABLES = 'work_dirs/reading_videos/tables.json'


def rows(root: Path, *, name: str) -> list[list[str]]:
    """Read a table as the tool has made it."""
    return read_json(root / TABLES)[name]


MEASUREMENTS = (
    Measurement(
        name='videos',
        minutes=200,
        commands=(
            Command(
                text='python tools/make_shapes.py --video --train 4000 --workers 2',
                writes=('data/shapes_video/shapes.json',),
            ),
            Command(text='python tools/research/reading_videos.py', writes=(TABLES,)),
        ),
        tables={
            'answers': Table(rows=partial(rows, name='answers'), tolerance=5.0),
            'ways': Table(rows=partial(rows, name='ways'), tolerance=5.0),
            'kinds': Table(rows=partial(rows, name='kinds'), tolerance=10.0, labels=2),
        },
    ),
)
