"""The whole way, small: make shapes, train, test against an untrained LMM and against no training, draw.

``make demo`` runs this.

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
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from flmm.config import read_config
from flmm.evaluation import format_table, write_metrics
from flmm.models.build import build_model
from flmm.shapes import build_dataset
from flmm.structures import GroundingSample
from flmm.visualization import draw_phrases, save_figure

ROOT = Path(__file__).parents[1]
CONFIG, CONTROL = 'configs/shapes/demo.py', 'configs/shapes/demo_untrained_lmm.py'
DATA = {'train': 640, 'val': 50, 'testA': 20, 'testB': 20}
DIFFICULTY = 'medium'
TRAINING_FREE_HEADS = (1, 3, 10)
PICTURES = 10
PROGRESS = re.compile(r'Epoch\(train\)\s+\[\d+\]\[\s*(\d+/\d+)\].*?eta: (\S+).*? loss: ([\d.]+)')


class ToolRun:
    """A tool running in the background with its output in a log file."""

    def __init__(self, tool: str, *arguments: str, log: Path, threads: int) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.name = ' '.join([f'tools/{tool}.py', *arguments])
        self.log = log
        self._file = log.open('w')
        self._process = subprocess.Popen(
            [sys.executable, f'tools/{tool}.py', *arguments],
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env={**os.environ, 'OMP_NUM_THREADS': str(threads)},
        )

    def wait(self, *, show_progress: bool = False) -> None:
        """Wait for the end, printing training's progress as it comes."""
        with self.log.open() as log:
            while True:
                running = self._process.poll() is None
                for line in log:
                    progress = PROGRESS.search(line)
                    if show_progress and progress:
                        print('         iteration {}, {} left, loss {}'.format(*progress.groups()), flush=True)
                if not running:
                    break
                time.sleep(0.5)
        self._file.close()
        if self._process.returncode:
            print(self.log.read_text()[-3000:])
            raise SystemExit(f'{self.name} failed with code {self._process.returncode}; the whole log is {self.log}')


def pick_samples(config: Config) -> list[GroundingSample]:
    """Take sentences of validation images one by one, each of another kind than the one before."""
    dataset = config.test_dataloader.dataset
    dataset.update(splits=['val'], protocols=['every_sentence'], indices=PICTURES)
    items = Runner.build_dataloader(config.test_dataloader).dataset
    return [samples[number % len(samples)] for number, samples in enumerate(items)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', default='work_dirs/demo')
    args = parser.parse_args()
    os.chdir(ROOT)  # configs name data and assets relative to the repository
    start = time.time()
    work_dir = Path(args.work_dir)
    control_dir, free_dir = work_dir / 'untrained_lmm', work_dir / 'training_free'

    def announce(what: str) -> None:
        print(f'[{time.time() - start:4.0f} s] {what}', flush=True)

    announce(f'drawing {sum(DATA.values())} scenes ({DIFFICULTY}) to data/shapes')
    cores = torch.get_num_threads()
    build_dataset('data/shapes', num_images=DATA, difficulty=DIFFICULTY, seed=0, workers=cores)

    # Two processes with half of the cores each: small tensors do not fill more.
    threads = max(1, cores // 2)
    announce('training mask head and SAM over the frozen demo LMM, and beside it over an untrained one')
    control = ToolRun('train', CONTROL, '--work-dir', str(control_dir), log=control_dir / 'train.log', threads=threads)
    trained = ToolRun('train', CONFIG, '--work-dir', str(work_dir), log=work_dir / 'train.log', threads=threads)
    # Four layers are too few to leave the first two out.
    heads = ToolRun(
        'select_heads',
        *(CONFIG, '--by', 'localization', '--skip-layers', '0', '--num-images', '100', '--training-free'),
        *('--top', *map(str, TRAINING_FREE_HEADS), '--work-dir', str(free_dir)),
        log=free_dir / 'select_heads.log',
        threads=threads,
    )
    trained.wait(show_progress=True)
    control.wait()
    heads.wait()

    announce('testing on val, testA and testB, all others on val: first sentence of each object, and every sentence')
    checkpoint, control_checkpoint = (
        Path(folder, 'last_checkpoint').read_text().strip() for folder in (work_dir, control_dir)
    )
    trained = ToolRun(
        'test', CONFIG, checkpoint, '--work-dir', str(work_dir), log=work_dir / 'test.log', threads=threads
    )
    first_sentence = '+test_dataloader.dataset.protocols=(first_sentence,)'
    beside = [('untrained_lmm', control_dir, [CONTROL, control_checkpoint], [])]
    for top in TRAINING_FREE_HEADS:
        config = str(free_dir / f'{Path(CONFIG).stem}_training_free_{top}.py')
        beside.append((f'training_free_{top}', free_dir / str(top), [config], [first_sentence]))
    for name, folder, tested, options in beside:
        ToolRun(
            'test',
            *(*tested, '--work-dir', str(folder)),
            *('--cfg-options', f'test_dataloader.dataset.name={name}', 'test_dataloader.dataset.splits=(val,)'),
            *options,
            log=folder / 'test.log',
            threads=threads,
        ).wait()
    trained.wait()

    metrics = {}
    for folder in (work_dir, *(folder for _, folder, _, _ in beside)):
        metrics |= json.loads((folder / 'metrics.json').read_text())
    write_metrics(metrics, work_dir / 'metrics.json')
    table = format_table(metrics)
    (work_dir / 'table.txt').write_text(table + '\n')

    announce('drawing pictures')
    config = read_config(CONFIG)
    init_default_scope(config.default_scope)
    model = build_model(config, checkpoint=checkpoint).eval()
    grounded = model(pick_samples(config), mode='predict')
    save_figure(draw_phrases(grounded), work_dir / 'pictures.png')
    announce(f'done: {work_dir}/metrics.json, table.txt, pictures.png')
    print(table)


if __name__ == '__main__':
    main()
