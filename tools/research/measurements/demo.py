"""The demo: its test sets, kinds of expression, three seeds, other scenes, and F-LMM's ways of doing single things."""

import statistics
from collections.abc import Mapping
from pathlib import Path

from research.f_lmm_variants import COLUMNS, VARIANTS
from research.measurements.measurement import Command, Measurement, Table, read_json

SEEDS = (0, 1, 2)
KINDS = ('colour', 'kind', 'size', 'position', 'comparison')
HEADER = [column.replace('/', ' ') for column in COLUMNS]
MAKE_DEMO = Command(text='make demo', writes=('data/shapes/images/*', 'work_dirs/demo/metrics.json'))


def test_sets(name: str, splits: tuple[str, ...]) -> dict[str, str]:
    """Label of a row -> test set, of both protocols."""
    return {
        f'{split}, {protocol} sentence': f'{name}_{split}_{protocol}_sentence'
        for split in splits
        for protocol in ('first', 'every')
    }


SHAPES = test_sets('shapes', ('val', 'testA', 'testB'))
UNTRAINED = {f'*untrained LMM*, {label}': key for label, key in test_sets('untrained_lmm', ('val',)).items()}


def demo_metrics(root: Path) -> dict[str, float]:
    """Read what `make demo` measured."""
    return read_json(root / 'work_dirs/demo/metrics.json')


def figures(metrics: Mapping[str, float], test_set: str, columns: tuple[str, ...] = COLUMNS) -> list[str]:
    """Write the figures of a test set."""
    return [f'{metrics[f"{test_set}/{column}"]:.1f}' for column in columns]


def summary(root: Path) -> list[list[str]]:
    """The README's table."""
    ways = {
        'the demo': 'shapes',
        'without training: three heads of the LMM and SAM': 'training_free_3',
        'the demo over an untrained LMM': 'untrained_lmm',
    }
    columns = ('coarse/mIoU', 'refined/mIoU')
    return [
        ['val, first sentence of each object (percent)', 'coarse mIoU', 'refined mIoU'],
        *([label, *figures(demo_metrics(root), f'{key}_val_first_sentence', columns)] for label, key in ways.items()),
    ]


def sets(root: Path) -> list[list[str]]:
    """All test sets."""
    metrics = demo_metrics(root)
    return [['percent', *HEADER], *([label, *figures(metrics, key)] for label, key in (SHAPES | UNTRAINED).items())]


def kinds(root: Path) -> list[list[str]]:
    """Every kind of expression, of the demo and over the untrained LMM."""
    metrics = demo_metrics(root)
    names = [f'{name}_val_every_sentence' for name in ('shapes', 'untrained_lmm')]
    keys = [f'{name}/{mask}/mIoU' for name in names for mask in ('coarse', 'refined')]
    header = ['mIoU, val, every sentence', 'coarse', 'refined', 'untrained LMM, coarse', 'untrained LMM, refined']
    return [header, *([kind, *(f'{metrics[f"{key}/{kind}"]:.1f}' for key in keys)] for kind in KINDS)]


def present(root: Path) -> list[list[str]]:
    """What the verdict on existence costs where there is a target."""
    metrics = demo_metrics(root)
    columns = ('refined/cIoU', 'refined/mIoU')
    rows = [
        [label, *figures(metrics, key, columns), *figures(metrics, key.replace('shapes', 'existence'), columns)]
        for label, key in SHAPES.items()
    ]
    return [['percent', 'cIoU', 'mIoU', 'cIoU, judged', 'mIoU, judged'], *rows]


def existence_file(seed: int) -> str:
    """Where the loop over seeds writes what an existence head gave, from the root of the repository."""
    return f'work_dirs/demo_existence_{seed}/metrics.json'


def existence(root: Path) -> list[list[str]]:
    """Existence over seeds: mean, lowest and highest of each test set."""
    runs = [read_json(root / existence_file(seed)) for seed in SEEDS]
    columns = {
        'N-acc': 'N_acc',
        'absent': 'N_acc/absent',
        'absent pair': 'N_acc/absent_pair',
        'T-acc': 'T_acc',
        'gIoU': 'gIoU',
    }
    sets = test_sets('shapes_no_target', ('val', 'testA', 'testB'))
    rows = [
        [label, *(spread([run[f'{key}/refined/{column}'] for run in runs]) for column in columns.values())]
        for label, key in sets.items()
    ]
    return [['percent, mean (lowest to highest)', *columns], *rows]


def spread(values: list[float]) -> str:
    """Write mean, lowest and highest."""
    return f'{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})'


def variant_file(variant: str, seed: int) -> str:
    """Where f_lmm_variants.py writes what a variant and seed gave, from the root of the repository."""
    return f'work_dirs/f_lmm_variants/{variant}_{seed}/metrics.json'


def seeds(root: Path) -> list[list[str]]:
    """The demo over seeds: mean, lowest and highest of each test set."""
    runs = [read_json(root / variant_file('default', seed)) for seed in SEEDS]
    rows = [
        [label, *(spread([run[f'{key}/{column}'] for run in runs]) for column in COLUMNS)]
        for label, key in SHAPES.items()
    ]
    return [['percent, mean (lowest to highest)', *HEADER], *rows]


def variants(root: Path) -> list[list[str]]:
    """Means over the test sets and seeds of each of F-LMM's ways."""
    labels = VARIANTS | {
        'default': '*none: this package*',
        'detached': "*none: the mask prompt detached, this package's option*",
    }
    rows = [["F-LMM's way", *HEADER, "the seeds' refined mIoU"]]
    for variant, label in labels.items():
        runs = [read_json(root / variant_file(variant, seed)) for seed in SEEDS]
        means = {
            column: [statistics.mean(run[f'{key}/{column}'] for key in SHAPES.values()) for run in runs]
            for column in COLUMNS
        }
        last = ', '.join(f'{mean:.1f}' for mean in means['refined/mIoU'])
        rows.append([label, *(f'{statistics.mean(means[column]):.1f}' for column in COLUMNS), last])
    return rows


def difficulties(root: Path) -> list[list[str]]:
    """Easy and hard scenes."""
    rows = [['percent, val', *HEADER]]
    for level in ('easy', 'hard'):
        metrics = read_json(root / f'work_dirs/demo_{level}/metrics.json')
        rows += [
            [f'{level}, {protocol} sentence', *figures(metrics, f'shapes_val_{protocol}_sentence')]
            for protocol in ('first', 'every')
        ]
    return rows


MEASUREMENTS = (
    Measurement(
        name='demo',
        minutes=6,
        commands=(MAKE_DEMO,),
        tables={
            'summary': Table(rows=summary, tolerance=1.0),
            'sets': Table(rows=sets, tolerance=1.5),
            'kinds': Table(rows=kinds, tolerance=3.0),
            'present': Table(rows=present, tolerance=3.0),
        },
    ),
    Measurement(
        name='existence',
        minutes=8,
        needs=(MAKE_DEMO,),
        commands=(Command(text='for seed in 0 1 2; do', writes=tuple(existence_file(seed) for seed in SEEDS)),),
        tables={'sets': Table(rows=existence, tolerance=3.0)},
    ),
    Measurement(
        name='seeds',
        minutes=6,
        needs=(MAKE_DEMO,),
        commands=(
            Command(
                text='python tools/research/f_lmm_variants.py --variants default --seeds 0 1 2',
                writes=tuple(variant_file('default', seed) for seed in SEEDS),
            ),
        ),
        tables={'sets': Table(rows=seeds, tolerance=1.0)},
    ),
    Measurement(
        name='variants',
        minutes=60,
        needs=(MAKE_DEMO,),
        commands=(
            Command(
                text='python tools/research/f_lmm_variants.py --seeds 0 1 2',
                writes=tuple(variant_file(variant, seed) for variant in VARIANTS for seed in SEEDS),
            ),
        ),
        tables={'means': Table(rows=variants, tolerance=0.5)},
    ),
    Measurement(
        name='difficulties',
        minutes=8,
        commands=(
            Command(
                text='for level in easy hard; do',
                writes=tuple(f'work_dirs/demo_{level}/metrics.json' for level in ('easy', 'hard')),
            ),
        ),
        tables={'sets': Table(rows=difficulties, tolerance=1.5)},
    ),
)
