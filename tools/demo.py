"""The whole way, small: make shapes, train, test, compare with what was not trained, draw. ``make demo`` runs this.

Everything goes through the tools that real training uses; this file only calls them in order and collects what they
write. Results: work_dirs/demo/metrics.json, table.txt and pictures.png.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from flmm.atomic_write import write_text
from flmm.config import read_config
from flmm.evaluation import format_table, write_metrics
from flmm.models.build import build_model
from flmm.shapes import build_dataset
from flmm.structures import GroundingSample
from flmm.test_set_names import split_name
from flmm.visualization import draw_phrases, save_figure

ROOT = Path(__file__).parents[1]
DEMO, CONTROL = 'configs/shapes/demo.py', 'configs/shapes/demo_untrained_lmm.py'
NO_TARGET, EXISTENCE = 'configs/shapes/demo_no_target.py', 'configs/shapes/demo_existence.py'
DATA = {'train': 640, 'val': 50, 'testA': 20, 'testB': 20}
DIFFICULTY = 'medium'
TRAINING_FREE_HEADS = (1, 3, 10)
IN_TABLE = ('mIoU', 'gIoU', 'cIoU', 'N_acc', 'T_acc')
PICTURES = 12
PROGRESS = re.compile(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+/\d+)\].*?eta: (\S+).*? loss: ([\d.]+)')


def run_tool(tool: str, *arguments: str, log: Path, threads: int, show_progress: bool = False) -> None:
    """Run a tool to its end with its output in a log file, and print training's progress as it comes.

    Raises:
        RuntimeError: it failed; the message has the end of the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, f'tools/{tool}.py', *arguments]
    environment = {**os.environ, 'OMP_NUM_THREADS': str(threads)}
    with log.open('w') as output, log.open() as lines:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        while True:
            running = process.poll() is None
            for line in lines:
                progress = PROGRESS.search(line)
                if show_progress and progress:
                    print('         epoch {}, iteration {}, {} left, loss {}'.format(*progress.groups()), flush=True)
            if not running:
                break
            time.sleep(0.5)
    if process.returncode:
        raise RuntimeError(
            f'{log.read_text()[-3000:]}\ntools/{tool}.py {" ".join(arguments)} failed with code {process.returncode}; '
            f'the whole log is {log}'
        )


def pick_samples(config: Config) -> list[GroundingSample]:
    """Take sentences of validation images one by one, each of another kind than the one before; every fourth absent."""
    config.val_dataloader.dataset.indices = PICTURES
    picked = []
    for number, samples in enumerate(Runner.build_dataloader(config.val_dataloader).dataset):
        absent = [sample for sample in samples if not bool(sample.has_target.any())]
        single = [
            sample for sample in samples if bool(sample.has_target.any()) and sample.phrase_infos[0].kind != 'plural'
        ]
        choices = absent if absent and number % 4 == 3 else single
        picked.append(choices[number % len(choices)])
    return picked


def collect(folders: dict[str, Path]) -> tuple[dict[str, float], str]:
    """Put the figures of all runs into one dict, those of others than the demo under their names, and into a table."""
    metrics, runs = {}, []
    for name, folder in folders.items():
        own = json.loads((folder / 'metrics.json').read_text())
        del own['run']
        runs.append(own)
        for key, value in own.items():
            is_own = name == 'demo' or split_name(key.split('/')[0]).dataset != 'shapes'
            metrics[key if is_own else key.replace('shapes', name, 1)] = value
    return metrics, format_table(*runs, names=list(folders), metrics=IN_TABLE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'))
    args = parser.parse_args()
    os.chdir(ROOT)  # configs name data and assets relative to the repository
    start = time.time()
    cores = torch.get_num_threads()
    threads = max(1, cores // 2)
    folders = {
        'demo': args.work_dir,
        'existence': args.work_dir / 'existence',
        'untrained_lmm': args.work_dir / 'untrained_lmm',
    }
    free_dir = args.work_dir / 'training_free'
    folders |= {f'training_free_{top}': free_dir / str(top) for top in TRAINING_FREE_HEADS}
    checkpoint, judging = args.work_dir / 'epoch_1.pth', folders['existence'] / 'epoch_10.pth'

    def announce(what: str) -> None:
        print(f'[{time.time() - start:4.0f} s] {what}', flush=True)

    def run(tool: str, config: str, *arguments: str, folder: Path, show_progress: bool = False) -> None:
        announce(f'{tool}: {config}')
        log = folder / f'{tool}.log'
        run_tool(
            *(tool, config, *arguments, '--work-dir', str(folder)),
            log=log,
            threads=threads,
            show_progress=show_progress,
        )

    def train_demo() -> None:
        run('train', DEMO, folder=folders['demo'], show_progress=True)

    def train_existence() -> None:
        masks = f'model.trained_masks={checkpoint}'
        run('train', EXISTENCE, '--cfg-options', masks, folder=folders['existence'])
        run('test', NO_TARGET, str(judging), folder=folders['existence'])

    def train_beside() -> None:
        run_tool('cache_features', EXISTENCE, log=folders['existence'] / 'cache_features.log', threads=threads)
        run('train', CONTROL, folder=folders['untrained_lmm'])

    def test_beside() -> None:
        val = ('--cfg-options', 'test_dataloader.dataset.splits=(val,)')
        run('test', DEMO, str(checkpoint), folder=folders['demo'])
        run('test', CONTROL, str(folders['untrained_lmm'] / 'epoch_1.pth'), *val, folder=folders['untrained_lmm'])
        # Four layers are too few to leave the first two out.
        how = ('--by', 'localization', '--skip-layers', '0', '--num-images', '100', '--training-free')
        run('select_heads', DEMO, *how, '--top', *map(str, TRAINING_FREE_HEADS), folder=free_dir)
        for top in TRAINING_FREE_HEADS:
            config = str(free_dir / f'{Path(DEMO).stem}_training_free_{top}.py')
            run(
                'test', config, *val, '+test_dataloader.dataset.protocols=(first_sentence,)', folder=free_dir / str(top)
            )

    announce(f'drawing {sum(DATA.values())} scenes ({DIFFICULTY}) to data/shapes')
    build_dataset('data/shapes', num_images=DATA, difficulty=DIFFICULTY, seed=0, workers=cores)
    # Two tools at a time with half of the cores each: small tensors do not fill more.
    with ThreadPoolExecutor(max_workers=2) as pool:
        for together in ((train_demo, train_beside), (train_existence, test_beside)):
            for done in [pool.submit(step) for step in together]:
                done.result()

    metrics, table = collect(folders)
    write_metrics(metrics, args.work_dir / 'metrics.json')
    write_text(args.work_dir / 'table.txt', table + '\n')
    announce('drawing pictures')
    config = read_config(NO_TARGET)
    init_default_scope(config.default_scope)
    model = build_model(config, checkpoint=judging).eval()
    save_figure(draw_phrases(model(pick_samples(config), mode='predict')), args.work_dir / 'pictures.png')
    announce(f'done: {args.work_dir}/metrics.json, table.txt, pictures.png')
    print(table)


if __name__ == '__main__':
    main()
