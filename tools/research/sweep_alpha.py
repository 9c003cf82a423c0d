"""Mask quality against image tokens: trains and tests the demo under many ways to give the model fewer tokens.

    python tools/research/sweep_alpha.py --list
    python tools/research/sweep_alpha.py --jobs 2 --only 'dense' 'budget-*' --scenes noisy

Scenes go to <data root>/shapes_<scenes>, a JSON for each condition to <work dir>/<scenes>/; what is there already is
not run again. After that, everything found there becomes table.txt, table.md and plot.png.

The recipe is the config's, save for two things: the frozen part runs once for each image, and of each object one
sentence is drawn, the same under all conditions.
"""

import argparse
import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from fnmatch import fnmatch
from pathlib import Path

import torch
from alpha_sweep.conditions import all_conditions
from alpha_sweep.report import draw, format_markdown, format_text, load_results
from alpha_sweep.scenes import NOISE, write_scenes
from alpha_sweep.training import Task, run_task

from flmm.visualization import save_figure

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


def all_tasks(args: argparse.Namespace) -> list[Task]:
    """Make the tasks of all conditions, for each of --scenes."""
    return [
        Task(
            condition=condition,
            scenes=scenes,
            config=args.config,
            data_root=f'{args.data_root}/shapes_{scenes}/',
            work_dir=str(args.work_dir),
            num_images={'train': args.train_images, 'val': args.val_images},
            seed=args.seed,
            threads=max(1, torch.get_num_threads() // args.jobs),
        )
        for condition in all_conditions()
        for scenes in args.scenes
    ]


def chosen_tasks(tasks: list[Task], patterns: list[str]) -> list[Task]:
    """Choose the tasks whose conditions --only names.

    Raises:
        ValueError: a pattern that no condition has.
    """
    for pattern in patterns:
        if not any(fnmatch(task.condition.name, pattern) for task in tasks):
            raise ValueError(f'--only {pattern!r} names no condition; --list prints them')
    return [task for task in tasks if any(fnmatch(task.condition.name, pattern) for pattern in patterns)]


def finished(tasks: list[Task], jobs: int) -> Iterable[Task]:
    """Run the tasks; give each back when it is done."""
    if jobs == 1:
        yield from map(run_task, tasks)
        return
    # Not forked: a fork would copy the locks of torch's threads without the threads.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context('spawn')) as pool:
        futures = [pool.submit(run_task, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def main() -> None:
    args = parse_args()
    tasks = all_tasks(args)
    chosen = chosen_tasks(tasks, args.only)
    if args.list:
        print('\n'.join(dict.fromkeys(task.condition.name for task in chosen)))
        return
    os.chdir(ROOT)
    for scenes in args.scenes:
        root = args.data_root / f'shapes_{scenes}'
        write_scenes(root, scenes=scenes, num_images=tasks[0].num_images, seed=args.seed)
    # Whether chosen or not: the tables show all that is there, so nothing there may be of another origin.
    done = {task.result_file for task in tasks if task.is_done()}
    missing = [task for task in chosen if task.result_file not in done]
    print(f'{len(chosen)} chosen, {len(chosen) - len(missing)} done already', flush=True)
    for number, task in enumerate(finished(missing, args.jobs), start=1):
        print(f'{number}/{len(missing)} {task.result_file}', flush=True)
    results = load_results(args.work_dir, args.scenes)
    table = format_text(results)
    (args.work_dir / 'table.txt').write_text(table, encoding='utf-8')
    (args.work_dir / 'table.md').write_text(format_markdown(results), encoding='utf-8')
    save_figure(draw(results), args.work_dir / 'plot.png')
    print(table, end='')


if __name__ == '__main__':
    main()
