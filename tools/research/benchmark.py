"""Measure speed and memory. Every benchmark compares ways to do the same thing, in one run on one machine.

    python tools/research/benchmark.py importance
    python tools/research/benchmark.py pruning --preset small --image photo.jpg
    python tools/research/benchmark.py frozen --preset 7b --device cuda
    python tools/research/benchmark.py training --preset small

Writes <work dir>/<benchmark>.json, with every single time and what it was measured on, and prints a table. Numbers of
two machines, or of two runs beside other work, do not compare; ratios within a run do.
"""

import argparse
import json
from pathlib import Path

import torch
from benchmarks import frozen, importance, pruning, training
from benchmarks.measure import environment

from flmm.evaluation import align_rows

BENCHMARKS = {'importance': importance, 'pruning': pruning, 'frozen': frozen, 'training': training}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='benchmark', required=True)
    for name, module in BENCHMARKS.items():
        command = commands.add_parser(name, help=module.__doc__, description=module.__doc__)
        command.add_argument('--image', help='photo to read, resized; without it a synthetic scene is drawn')
        command.add_argument('--device', type=torch.device, default=torch.device('cpu'))
        command.add_argument('--repeats', type=int, default=5, help='rounds that count')
        command.add_argument('--work-dir', type=Path, default=Path('work_dirs/benchmark'))
        module.add_arguments(command)
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error('--repeats must be at least 1')
    return args


def main() -> None:
    args = parse_args()
    benchmark = BENCHMARKS[args.benchmark]
    results = benchmark.run(args)
    document = {
        'benchmark': args.benchmark,
        'settings': {key: value for key, value in vars(args).items() if key not in ('benchmark', 'work_dir')},
        'environment': environment(args.device),
        'results': results,
    }
    args.work_dir.mkdir(parents=True, exist_ok=True)
    (args.work_dir / f'{args.benchmark}.json').write_text(json.dumps(document, indent=2, default=str))
    print(align_rows(benchmark.table(results)))


if __name__ == '__main__':
    main()
