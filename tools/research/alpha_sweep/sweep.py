"""All conditions, one after the other or several at a time, and what is written of them."""

import argparse
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from fnmatch import fnmatch

import torch

from alpha_sweep.conditions import all_conditions
from alpha_sweep.report import draw, format_markdown, format_text, load_results
from alpha_sweep.scenes import write_scenes
from alpha_sweep.training import Task, run_task
from flmm.visualization import save_figure


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


def run_tasks(args: argparse.Namespace, *, tasks: list[Task], chosen: list[Task]) -> None:
    """Run those of the ``chosen`` tasks that have no result yet; write and print tables and plot of all results.

    Args:
        args: of the command line.
        tasks: all there are.
        chosen: of these.

    Raises:
        ValueError: scenes or results that are there already are of another origin.
    """
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
