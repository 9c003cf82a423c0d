"""An image that is read once and asked often: time, what is kept of it, and the memory of large images."""

from pathlib import Path
from statistics import median
from typing import Any

from research.measurements.measurement import Command, Measurement, Table, read_json

MIB = 2**20
RESULTS = 'work_dirs/questions/questions.json'


def results(root: Path) -> dict[str, Any]:
    """Read what the benchmark wrote."""
    return read_json(root / RESULTS)['results']


def milliseconds(seconds: list[float]) -> str:
    """The median of rounds, in ms."""
    return f'{1e3 * median(seconds):,.0f}'


def phrases(root: Path) -> list[list[str]]:
    """All phrases of an image, read once and one by one; the ratio is the median of those of the rounds."""
    rows = [['phrases', 'read once, ms', 'one by one, ms', 'times faster']]
    for count, found in results(root)['sizes']['644x476']['phrases'].items():
        times = [milliseconds(found[way]) for way in ('read_once_s', 'one_by_one_s')]
        rows.append([count, *times, f'{median(found["times_faster"]):.2f}'])
    return rows


def kept(root: Path) -> list[list[str]]:
    """Another phrase of an image that was read, and what is kept of the image."""
    case = results(root)['sizes']['644x476']
    prefix = case['prefix']
    return [
        ['tokens of image and prompt', 'reading, ms', 'one more phrase, ms', 'times less', 'kept, MiB', 'formula, MiB'],
        [
            f'{prefix["tokens"]}',
            *(milliseconds(case[way]) for way in ('reading_s', 'one_more_s')),
            f'{1 / median(case["one_more_share"]):.1f}',
            *(f'{prefix[f"{way}_bytes"] / MIB:.2f}' for way in ('measured', 'formula')),
        ],
    ]


def memory(root: Path) -> list[list[str]]:
    """Time and peak memory of the demo's model, step by step."""
    rows = [['image, phrases', 'step', 's', 'peak until then, MiB']]
    for name in ('photograph', 'batch'):
        found = results(root)[name]
        for number, (step, measured) in enumerate(found['stages'].items()):
            what = f'{found["image"]}, {found["phrases"]}' if number == 0 else ''
            rows.append([what, step, f'{measured["seconds"]:.1f}', f'{measured["peak_bytes"] / MIB:,.0f}'])
    return rows


MEASUREMENTS = (
    Measurement(
        name='questions',
        minutes=10,
        commands=(
            Command(
                text='OMP_NUM_THREADS=1 python tools/research/benchmark.py questions --preset small --repeats 3',
                writes=(RESULTS,),
            ),
        ),
        tables={
            'phrases': Table(rows=phrases, times=('*, ms', 'times faster')),
            'kept': Table(rows=kept, times=('*, ms', 'times less')),
            'memory': Table(rows=memory, labels=2, times=('s', 'peak*')),
        },
    ),
)
