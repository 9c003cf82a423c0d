"""What was logged of a training, as series of numbers: read back from mmengine's ``vis_data/scalars.json``."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Series = dict[str, dict[int, float]]
"""Key -> iteration -> value, iterations ascending. Of the validation, the key of a time begins with 'val/'."""

PLACES = ('step', 'iter', 'epoch')
"""Keys that say when a line was written, not what was measured."""


def read_series(work_dir: str | Path) -> Series:
    """Read the series of a work dir; each time that a training was started or resumed there, it wrote a folder.

    Of two folders that reach the same iterations the later one counts: from its first logged iteration on, nothing of
    earlier folders remains.

    Args:
        work_dir: as given to tools/train.py.

    Raises:
        ValueError: there is no log, or a line of it is broken; but the last line of a file may lack its end, as a
            killed training leaves it, and is then left out.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))  # folders are named by time
    if not files:
        raise ValueError(f'{str(work_dir)!r} has no */vis_data/scalars.json: give a work dir of tools/train.py')
    series: Series = {}
    for file in files:
        lines = _read_lines(file)
        first = min((line['step'] for line in lines), default=math.inf)
        for key, values in series.items():
            series[key] = {step: value for step, value in values.items() if step < first}
        for line in lines:
            for key, value in line.items():
                if key not in PLACES:
                    # Validation logs its times under the keys of training, in lines without an iteration.
                    key = f'val/{key}' if key in ('time', 'data_time') and 'iter' not in line else key
                    series.setdefault(key, {})[line['step']] = float(value)
    return {key: values for key, values in series.items() if values}


def _read_lines(file: Path) -> list[dict[str, Any]]:
    *whole, rest = file.read_text(encoding='utf-8').split('\n')
    lines = []
    for number, text in enumerate(whole, start=1):
        line = _parsed(text)
        if line is None:
            raise ValueError(f'{str(file)!r}, line {number}: {text[:60]!r} is no JSON object with a step; remove it')
        lines.append(line)
    last = _parsed(rest)  # a training that was killed while it wrote has left a part of a line
    return lines if last is None else [*lines, last]


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except json.JSONDecodeError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get('step'), int) else None


def smoothed(values: Sequence[float], *, window: int) -> list[float]:
    """Return the mean of each value and up to ``window - 1`` before it.

    >>> smoothed([1.0, 3.0, 8.0], window=2)
    [1.0, 2.0, 5.5]
    """
    parts = [values[max(0, end - window) : end] for end in range(1, len(values) + 1)]
    return [math.fsum(part) / len(part) for part in parts]
