"""What a step costs: the tables of the benchmarks, and the padding of batches."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from research.measurements.demo import MAKE_DEMO
from research.measurements.measurement import Command, Measurement, Table, read_json

BENCHMARK = 'OMP_NUM_THREADS=2 taskset -c 0,1 python tools/research/benchmark.py'
MIB = 2**20
WAYS = {
    'stock forward': 'stock forward',
    'reference': 'reference',
    'flmm': 'flmm',
    'flmm, batch of 4': 'flmm, batch of 4',
    'flmm, budget 0.5': 'flmm, budget 0.5',
    'flmm, budget 0.3': 'flmm, budget 0.3',
    'flmm, stored': 'flmm, stored features',
    'flmm, stored, batch of 4': 'flmm, stored features, batch of 4',
}
"""Label of a row of a training step -> way of the benchmark."""
STAGES = {
    'image': ('image processing', 'reading'), 'vision': ('vision tower',), 'LLM': ('LLM',), 'capture': ('capture',),
    'SAM encoder': ('SAM encoder',), 'mask head': ('mask head',), 'SAM decoder': ('SAM decoder',),
    'losses': ('losses',), 'backward': ('backward',),
}  # fmt: skip
"""Column -> stages of the benchmark."""
SELECTIONS = {
    'dense': 'dense',
    'budget 0.5, edges, up to 2x2 units': 'budget 0.5, laplacian, blur 5, up to 2x2',
    'budget 0.3, edges, up to 2x2 units': 'budget 0.3, laplacian, blur 5, up to 2x2',
    'budget 0.3, edges': 'budget 0.3, laplacian, blur 5',
    'budget 0.3, entropy': 'budget 0.3, entropy',
    'budget 0.1, edges': 'budget 0.1, laplacian, blur 5',
}
THRESHOLDS = {'v1, entropy': 'v1, entropy', 'v2, entropy': 'v2, entropy'}
PADDING = Command(text='for batch_size in (4, 8, 16):')


def benchmark(kind: str, folder: str, arguments: str) -> Command:
    """A run of the benchmark that writes to work_dirs/<folder>."""
    return Command(text=f'{BENCHMARK} {kind} {arguments}', writes=(f'work_dirs/{folder}/{kind}.json',))


def results(root: Path, kind: str, folder: str) -> dict[str, Any]:
    """Read what that run wrote."""
    return read_json(root / f'work_dirs/{folder}/{kind}.json')['results']


def cases(root: Path) -> list[dict[str, Any]]:
    """The frozen LMM at 391 and at 1,218 tokens."""
    sizes = ('644x476', '1176x812')
    return [results(root, 'frozen', f'frozen_{size}')[size] for size in sizes]


def frozen(root: Path) -> list[list[str]]:
    """Time and memory of the frozen LMM; fastest rounds in brackets."""
    rows = [['image tokens', 'way', 'ms a sample', 'of stock', 'peak, MiB a sample', 'the reference takes']]
    for case in cases(root):
        stock, plain = (case['ways'][name] for name in ('stock forward', 'reference'))
        for number, (way, found) in enumerate(case['ways'].items()):
            time, least = found['median_s'], min(found['seconds'])
            of_stock = f'{time / stock["median_s"]:.2f} ({least / min(stock["seconds"]):.2f})'
            faster = f'{plain["median_s"] / time:.2f}x ({min(plain["seconds"]) / least:.2f}x)'
            smaller = f'{plain["peak_bytes"] / found["peak_bytes"]:.1f}x'
            # The first cell says what the two numbers are.
            long = f'{faster} the time, {smaller} the memory' if len(rows) == 3 else f'{faster}, {smaller}'
            rows.append([
                f'{case["image_tokens"]:,}' if number == 0 else '',
                way,
                f'{1e3 * time:,.0f} ({1e3 * least:,.0f})',
                '1.00' if found is stock else of_stock,
                f'{found["peak_bytes"] / MIB:.1f}',
                '' if found is stock or found is plain else long,
            ])  # fmt: skip
    return rows


def memory(root: Path) -> list[list[str]]:
    """Peak memory from 391 to 3,920 tokens."""
    found = [*cases(root), *results(root, 'frozen', 'frozen_large').values()]
    first, *others = [f'{case["image_tokens"]:,}' for case in found]
    rows = [['peak, MiB', f'{first} tokens', *others]]
    rows += [
        [way, *(f'{case["ways"][way]["peak_bytes"] / MIB:,.0f}' for case in found)]
        for way in ('stock forward', 'flmm', 'reference')
    ]
    return rows


def times_faster(case: Mapping[str, Any], way: str) -> str:
    """How often the reference takes the time of a way, to three digits."""
    return f'{case["reference"]["median_s"] / case[way]["median_s"]:.3g}x'


def step(root: Path, size: str, num_phrases: int) -> list[list[str]]:
    """The stages of a training step, ms a sample."""
    name = f'{size}, {num_phrases} phrases'
    case = results(root, 'training', f'training_{size}')[name]
    rows = [[name, 'samples/s', 'all', *STAGES, 'peak MiB', 'reference takes']]
    for label, way in WAYS.items():
        found = case[way]
        stages = [sum(found['stages'].get(stage, 0) for stage in parts) for parts in STAGES.values()]
        rows.append([
            label,
            f'{1 / found["median_s"]:.2f}',
            f'{1e3 * found["median_s"]:,.0f}',
            *(f'{1e3 * seconds:,.0f}' if seconds else '' for seconds in stages),
            f'{found["peak_bytes"] / MIB:.0f}',
            '' if way in ('stock forward', 'reference') else times_faster(case, way),
        ])  # fmt: skip
    return rows


def phrases(root: Path) -> list[list[str]]:
    """A training step with 1, 3 and 8 phrases."""
    found = results(root, 'training', 'training_644x476')
    parts = [found[f'644x476, {number} phrases'] for number in (1, 3, 8)]
    rows = [['644x476, ms a sample (reference takes)', '1 phrase', '3 phrases', '8 phrases']]
    for label, way in WAYS.items():
        bare = way in ('stock forward', 'reference')
        times = [f'{1e3 * part[way]["median_s"]:,.0f}' for part in parts]
        ratios = ['' if bare else f' ({times_faster(part, way)})' for part in parts]
        rows.append([label, *map(str.__add__, times, ratios)])
    return rows


def pruning(root: Path) -> list[list[str]]:
    """Time from the image to attention maps under selections of patches."""
    header = ['image', 'selection', 'tokens', 'image processing, ms', 'frozen part, ms', 'together, ms', 'times faster']
    rows = [header]
    stages = ('processing', 'frozen', 'total')
    found = results(root, 'pruning', 'benchmark')
    for size, selections in {'644x476': SELECTIONS, '1176x812': SELECTIONS | THRESHOLDS}.items():
        for number, (label, key) in enumerate(selections.items()):
            result = found[size][key]
            times = [f'{1e3 * result[f"{stage}_median_s"]:,.0f}' for stage in stages]
            tokens, faster = f'{result["tokens"]:,}', f'{result["speed_up"]:.2f}'
            rows.append([size if number == 0 else '', label, tokens, *times, faster])
    return rows


def padding(root: Path) -> list[list[str]]:
    """Share of padding, from the printed lines 'batch size, sampler, percent'."""
    rows: dict[str, list[str]] = {}
    for line in PADDING.printed(root):
        size, _, percent = line.split()
        rows.setdefault(size, [size]).append(percent.replace('%', ' %'))
    return [['batch size', 'in random order', 'TokenBatchSampler'], *rows.values()]


MEASUREMENTS = (
    Measurement(
        name='frozen',
        minutes=15,
        commands=(
            benchmark('frozen', 'frozen_644x476', '--preset small --sizes 644x476 --repeats 15'),
            benchmark('frozen', 'frozen_1176x812', '--preset small --sizes 1176x812 --repeats 9'),
            benchmark(
                'frozen', 'frozen_large', '--preset small --sizes 1568x1176 1960x1568 --batch-size 1 --repeats 1'
            ),
        ),
        tables={
            'ways': Table(rows=frozen, labels=2, times=('*',)),
            'memory': Table(rows=memory, times=('*',)),
        },
    ),
    Measurement(
        name='training',
        minutes=15,
        commands=(
            benchmark('training', 'training_644x476', '--preset small --sizes 644x476 --num-phrases 1 3 8'),
            benchmark('training', 'training_1176x812', '--preset small --sizes 1176x812 --num-phrases 3 --repeats 3'),
        ),
        tables={
            'large': Table(rows=partial(step, size='1176x812', num_phrases=3), times=('*',)),
            'small': Table(rows=partial(step, size='644x476', num_phrases=8), times=('*',)),
            'phrases': Table(rows=phrases, times=('*',)),
        },
    ),
    Measurement(
        name='pruning',
        minutes=10,
        commands=(benchmark('pruning', 'benchmark', '--preset small --image 000000004016.jpg'),),
        tables={'speed': Table(rows=pruning, labels=2, times=('*, ms', 'times faster'))},
    ),
    Measurement(
        name='padding',
        minutes=0.5,
        needs=(MAKE_DEMO,),
        commands=(PADDING,),
        tables={'share': Table(rows=padding, tolerance=1.0)},
    ),
)
