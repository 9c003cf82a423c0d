"""Adaptive patches: tokens kept on photographs, and the fewest that cover an image."""

import ast
import csv
from collections.abc import Iterable
from pathlib import Path

from research.measurements.measurement import Command, Measurement, Table

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
)
