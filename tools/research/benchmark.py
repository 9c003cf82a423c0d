"""Measure speed and memory. Every benchmark compares ways to do the same thing, in one run on one machine.

    python tools/research/benchmark.py importance
    python tools/research/benchmark.py pruning --preset small --image photo.jpg
    python tools/research/benchmark.py frozen --preset 7b --device cuda
    python tools/research/benchmark.py training --preset small
    python tools/research/benchmark.py questions --preset small

Writes <work dir>/<benchmark>.json, with every single time and what it was measured on, and prints a table. Numbers of
two machines, or of two runs beside other work, do not compare; ratios within a run do.
"""

import argparse
import json
import re
from pathlib import Path

from flmm.atomic_write import write_text

BENCHMARKS = {
    'importance': 'importance maps: flmm.apt against the plain formulation of entropy, and all measures in turn',
    'pruning': 'the frozen part, from the image to attention maps, with adaptive patches against all image tokens',
    'frozen': 'the frozen LMM alone: flmm against a plain forward that gives no maps, and against eager attention',
    'training': 'a training step, from the image to the gradients, stage by stage: flmm against the reference',
    'questions': 'phrases of an image that is read once, against one that is read for each; memory of large images',
}
LMMS = Path(__file__).parents[2] / 'configs' / '_base_' / 'lmms'
PRESETS = ('demo', 'small', '3b', '7b', *sorted(path.stem for path in LMMS.glob('*.py') if path.stem != 'demo'))
SIZES = ((644, 476), (1176, 812))
LARGE_SIZES = ((1568, 1176), (1960, 1568))


def image_size(text: str) -> tuple[int, int]:
    """Parse '1176x812', width and height in px; for argparse."""
    if not re.fullmatch(r'[1-9]\d*x[1-9]\d*', text):
        raise argparse.ArgumentTypeError(f'{text!r} is no size such as 1176x812, width x height in px')
    width, height = map(int, text.split('x'))
    return width, height


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(dest='benchmark', required=True)
    commands = {name: subparsers.add_parser(name, help=what, description=what) for name, what in BENCHMARKS.items()}
    for command in commands.values():
        command.add_argument('--image', help='photo to read, resized; without it a synthetic scene is drawn')
        command.add_argument('--device', default='cpu')
        command.add_argument('--repeats', type=int, default=5, help='rounds that count')
        command.add_argument('--work-dir', type=Path, default=Path('work_dirs/benchmark'))
    commands['importance'].add_argument('--size', type=image_size, default=SIZES[1], help='width x height in px')
    for name, sizes in (
        ('pruning', SIZES),
        ('frozen', SIZES + LARGE_SIZES),
        ('training', SIZES),
        ('questions', SIZES[:1]),
    ):
        commands[name].add_argument(
            '--preset', choices=PRESETS, default='small', help='which LMM; all but demo and small are for a GPU'
        )
        commands[name].add_argument(
            '--sizes', type=image_size, nargs='+', default=list(sizes), help='width x height in px'
        )
    commands['frozen'].add_argument('--num-phrases', type=int, default=3)
    for name, counts in (('training', [1, 3, 8]), ('questions', [1, 2, 4, 8, 32, 100])):
        commands[name].add_argument('--num-phrases', type=int, nargs='+', default=counts)
    for name in ('frozen', 'training'):
        commands[name].add_argument('--batch-size', type=int, default=4)
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error('--repeats must be at least 1')
    return args


def main() -> None:
    args = parse_args()
    # Not above: --help answers at once.
    import torch
    from benchmarks import frozen, importance, pruning, questions, training
    from benchmarks.measure import environment

    from flmm.evaluation import align_rows

    args.device = torch.device(args.device)
    modules = (importance, pruning, frozen, training, questions)
    benchmark = dict(zip(BENCHMARKS, modules, strict=True))[args.benchmark]
    results = benchmark.run(args)
    document = {
        'benchmark': args.benchmark,
        'settings': {key: value for key, value in vars(args).items() if key not in ('benchmark', 'work_dir')},
        'environment': environment(args.device),
        'results': results,
    }
    args.work_dir.mkdir(parents=True, exist_ok=True)
    write_text(args.work_dir / f'{args.benchmark}.json', json.dumps(document, indent=2, default=str))
    print(align_rows(benchmark.table(results)))


if __name__ == '__main__':
    main()
