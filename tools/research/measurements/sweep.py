"""What pruning costs in mask quality: the tables of the sweep over budgets, thresholds and controls."""

from pathlib import Path
from typing import Any

from research.alpha_sweep.conditions import ALPHAS, MEASURES, RECOMMENDED, all_conditions
from research.measurements.measurement import Command, Measurement, Table, read_json

SWEEP = Path('work_dirs', 'sweep_alpha', 'noisy')


def swept(root: Path, condition: str) -> dict[str, Any]:
    """Read the result of a condition of the sweep on noisy scenes."""
    return read_json(root / SWEEP / f'{condition}.json')


def kept(result: dict[str, Any]) -> str:
    """The share of the tokens that a condition kept, in whole percent."""
    return f'{100 * result["kept_fraction"]:.0f}'


def quality(result: dict[str, Any]) -> str:
    """Refined mIoU and, in brackets, coarse."""
    return '{refined/mIoU:.1f} ({coarse/mIoU:.1f})'.format_map(result['metrics'])


def budgets(root: Path) -> list[list[str]]:
    """Quality under budgets and controls, noisy scenes."""

    def row(label: str, name: str) -> list[str]:
        return [label, *(quality(swept(root, f'{name}-{alpha}')) for alpha in ALPHAS)]

    def others(alpha: float) -> str:
        names = [name for name in MEASURES if name not in (RECOMMENDED, 'entropy')]
        values = [swept(root, f'budget-{name}-{alpha}')['metrics']['refined/mIoU'] for name in names]
        return f'{min(values):.1f} to {max(values):.1f}'

    shares = [kept(swept(root, f'budget-{RECOMMENDED}-{alpha}')) for alpha in ALPHAS]
    *first, last = [kept(swept(root, f'downsample-{alpha}')) for alpha in ALPHAS]
    half, third = (swept(root, f'capped-{RECOMMENDED}-{alpha}') for alpha in (0.5, 0.3))
    even = swept(root, 'even')
    return [
        ['tokens kept', *(f'{share} %' for share in shares)],
        row('budget, laplacian mean, blur 5', f'budget-{RECOMMENDED}'),
        row('budget, entropy', 'budget-entropy'),
        ['budget, the eight other measures: lowest to highest', *map(others, ALPHAS)],
        row('oracle: borders of objects', 'oracle_edge'),
        row('oracle: which 56 px squares objects touch', 'oracle_touch'),
        row('oracle: area that objects cover', 'oracle_area'),
        row(f'downsample ({", ".join(first)} and {last} %)', 'downsample'),
        row('drop', 'drop'),
        [
            'budget, laplacian mean, blur 5, `max_token_size=2` (what the configs use)',
            *(quality(half), f'{quality(third)}, of {kept(third)} %', '', ''),
        ],
        ['even: no selection, 2x2 units', '', f'{quality(even)}, of {kept(even)} %', '', ''],
    ]


def thresholds(root: Path) -> list[list[str]]:
    """Share kept and quality under v1 and v2, noisy scenes."""
    labels = {
        'entropy': 'entropy',
        'laplacian mean, blur 5': RECOMMENDED,
        'laplacian std, blur 5': 'laplacian_std_blur5',
        'laplacian max': 'laplacian_max',
        'upsample_mse': 'upsample_mse',
        'upsample_mse, blur 5': 'upsample_mse_blur5',
    }
    rows = [['', 'v1', 'v2, alpha 1.0', 'v2, alpha 0.5']]
    for label, measure in labels.items():
        found = [swept(root, name) for name in (f'v1-{measure}', f'v2-{measure}-1.0', f'v2-{measure}-0.5')]
        rows.append([label, *(f'{kept(result)} %: {quality(result)}' for result in found)])
    return rows


MEASUREMENTS = (
    Measurement(
        name='sweep',
        minutes=180,
        commands=(
            Command(
                text='python tools/research/sweep_alpha.py --jobs 4 --val-images 200',
                writes=tuple(
                    f'work_dirs/sweep_alpha/{scenes}/{condition.name}.json'
                    for condition in all_conditions()
                    for scenes in ('clean', 'noisy')
                ),
            ),
        ),
        tables={'budgets': Table(rows=budgets, tolerance=1.0), 'thresholds': Table(rows=thresholds, tolerance=1.0)},
    ),
)
