"""Mask quality against image tokens: trains and tests the demo under many ways to give the model fewer tokens.

    python tools/research/sweep_alpha.py --list
    python tools/research/sweep_alpha.py --jobs 2 --only 'dense' 'budget-*' --scenes noisy

Scenes go to <data root>/shapes_<scenes>, a JSON for each condition to <work dir>/<scenes>/; what is there already is
not run again. After that, everything found there becomes table.txt, table.md and plot.png.

The recipe is the config's, save for two things: the frozen part runs once for each image, and of each object one
sentence is drawn, the same under all conditions.
"""

import argparse
import os
from pathlib import Path

from alpha_sweep.scenes import NOISE

ROOT = Path(__file__).parents[2]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scenes', nargs='+', choices=list(NOISE), default=list(NOISE))
    parser.add_argument('--only', nargs='+', default=['*'], metavar='PATTERN', help="conditions, such as 'budget-*'")
    parser.add_argument('--list', action='store_true', help='print the names of the conditions chosen, run nothing')
    parser.add_argument('--jobs', type=int, default=1, help='conditions at a time; they share the cores')
    parser.add_argument('--train-images', type=int, default=640)
    parser.add_argument('--val-images', type=int, default=100)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--config', default='configs/shapes/demo.py', help='model, pipeline and schedule')
    parser.add_argument('--data-root', type=Path, default=Path('data'), help='from the root of the repository')
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/sweep_alpha'), help='from the root of the repository'
    )
    args = parser.parse_args()
    if min(args.jobs, args.train_images, args.val_images) < 1:
        parser.error('--jobs, --train-images and --val-images must be at least 1')
    return args


def main() -> None:
    args = parse_args()
    # Not above: --help answers at once.
    from alpha_sweep.sweep import all_tasks, chosen_tasks, run_tasks

    tasks = all_tasks(args)
    chosen = chosen_tasks(tasks, args.only)
    if args.list:
        print('\n'.join(dict.fromkeys(task.condition.name for task in chosen)))
        return
    os.chdir(ROOT)
    run_tasks(args, tasks=tasks, chosen=chosen)


if __name__ == '__main__':
    main()
