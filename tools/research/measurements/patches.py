"""Adaptive patches: tokens kept on photographs, the least tokens, and what pruning costs in mask quality."""

import ast
import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from research.alpha_sweep.conditions import ALPHAS, MEASURES, RECOMMENDED, all_conditions
from research.measurements.measurement import Command, Measurement, Table, read_json

PHOTOS = Command(text='from skimage import data, io', writes=('data/photos/*.png',))
SETTINGS = {
    'v1, thresholds 3 and 2': 'v1',
    **{f'v2, alpha {alpha}': f'v2_{alpha}' for alpha in ('0.5', '0.75', '1.0', '1.25')},
    **{f'budget, alpha {alpha}': f'budget_{alpha}' for alpha in ('0.5', '0.3', '0.2', '0.1')},
}
"""Label of a row -> folder of the statistics."""
BY_THRESHOLD = {
    'entropy': 'entropy',
    'laplacian, mean': 'laplacian',
    'laplacian, max': 'laplacian_laplacian-aggregate max',
    'laplacian, std': 'laplacian_laplacian-aggregate std',
    'laplacian, mean, blur 5': 'laplacian_blur 5',
    'upsample_mse': 'upsample_mse',
    'upsample_mse, blur 5': 'upsample_mse_blur 5',
}
FLOOR = Command(text="PatchSelection(patch_selection_method='budget', alpha=0.01)")
SWEEP = Path('work_dirs', 'sweep_alpha', 'noisy')


def statistics_of(folder: Path) -> list[dict[str, str]]:
    """Read the rows of a statistics.csv, one an image."""
    with (folder / 'statistics.csv').open(newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def total(images: Iterable[dict[str, str]], column: str) -> int:
    """Sum a column over the images."""
    return sum(int(image[column]) for image in images)


def share(images: list[dict[str, str]]) -> str:
    """The share of the tokens of all images that is kept."""
    return f'{total(images, "tokens") / total(images, "dense_tokens"):.1%}'.replace('%', ' %')


def tokens_kept(root: Path) -> list[list[str]]:
    """Tokens of each photograph under each setting."""
    found = {label: statistics_of(root / 'work_dirs/patches' / name) for label, name in SETTINGS.items()}
    images = next(iter(found.values()))
    names = [
        f'{Path(image["file"]).stem}, {image["processed_size.width"]}x{image["processed_size.height"]}'
        for image in images
    ]
    dense = [*(image['dense_tokens'] for image in images), f'{total(images, "dense_tokens"):,}', '100 %']
    rows = [['tokens kept', *names, 'all', 'share'], ['none (dense)', *dense]]
    for label, counts in found.items():
        rows.append([label, *(image['tokens'] for image in counts), f'{total(counts, "tokens"):,}', share(counts)])
    return rows


def measures(root: Path) -> list[list[str]]:
    """The share kept by thresholds under each measure of importance."""
    folder = root / 'work_dirs/measures'
    return [
        ['measure', 'v1, its default thresholds', 'v2, alpha 1.0'],
        *(
            [label, *(share(statistics_of(folder / f'{name}_{way}')) for way in ('v1', 'v2'))]
            for label, name in BY_THRESHOLD.items()
        ),
    ]


def floor(root: Path) -> list[list[str]]:
    """The fewest tokens that cover an image, from the lines '(rows, columns) tokens [of size 0, 1, 2, 3, 4]'."""
    rows = [['image', 'units', 'fewest tokens', 'of size 4, 2, 1', 'in the strips', 'floor']]
    for line in FLOOR.printed(root):
        grid, _, rest = line.partition(') ')
        (height, width), (tokens, _, sizes) = ast.literal_eval(grid + ')'), rest.partition(' ')
        _, ones, twos, _, fours = ast.literal_eval(sizes)
        units, name = height * width, f'{28 * width}x{28 * height}'
        rows.append([
            f"{name} (COCO's 640x480)" if name == '644x476' else name,
            f'{width}x{height} = {units:,}',
            tokens,
            f'{fours}, {twos}, {ones}',
            f'{ones + twos} tokens for {ones + 4 * twos} units' if ones + twos else 'none',
            f'{100 * int(tokens) / units:.3g} %',
        ])  # fmt: skip
    return rows


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
        name='photographs',
        minutes=2,
        needs=(PHOTOS,),
        commands=(
            Command(
                text="for setting in 'v1'",
                writes=tuple(f'work_dirs/patches/{name}/statistics.csv' for name in SETTINGS.values()),
            ),
            Command(
                text="for measure in 'entropy'",
                writes=tuple(
                    f'work_dirs/measures/{name}_{way}/statistics.csv'
                    for name in BY_THRESHOLD.values()
                    for way in ('v1', 'v2')
                ),
            ),
        ),
        tables={'tokens': Table(rows=tokens_kept), 'measures': Table(rows=measures, tolerance=0.1)},
    ),
    Measurement(name='floor', minutes=0.1, commands=(FLOOR,), tables={'tokens': Table(rows=floor)}),
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
