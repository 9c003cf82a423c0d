"""One condition: its samples, the config's own training and test on them, its result as JSON."""

import hashlib
import inspect
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from transformers.utils.logging import disable_progress_bar

from alpha_sweep.conditions import Condition
from alpha_sweep.samples import KnownSamples, known_samples
from flmm.atomic_write import write_json
from flmm.engine import GroundingRunner
from flmm.registry import MODELS

PROTOCOL = 'val_first_sentence'


@dataclass(frozen=True, kw_only=True)
class Task:
    """One condition on one kind of scenes.

    Args:
        condition: what to compare.
        scenes: name of the scenes.
        config: path of the config whose model, pipeline and schedule are used.
        data_root: folder of the scenes.
        work_dir: where the logs go.
        num_images: scenes by split.
        seed: of the phrases, the initial weights and the order of the samples.
        threads: of torch.
    """

    condition: Condition
    scenes: str
    config: str
    data_root: str
    work_dir: str
    num_images: dict[str, int]
    seed: int
    threads: int

    @property
    def result_file(self) -> Path:
        """Where the result goes."""
        return Path(self.work_dir, self.scenes, f'{self.condition.name}.json')

    def is_done(self) -> bool:
        """Whether the result is there.

        Raises:
            ValueError: the result that is there is of other images, another seed, config or LMM.
        """
        if not self.result_file.exists():
            return False
        present = json.loads(self.result_file.read_text(encoding='utf-8'))
        for name, expected in self.origin().items():
            if present.get(name) != expected:
                raise ValueError(
                    f'{self.result_file} has {name} {present.get(name)}, not {expected}; '
                    'choose another --work-dir, or delete it'
                )
        return True

    def origin(self) -> dict[str, Any]:
        """What a result depends on besides its condition and scenes; weights that lie in a folder are fingerprinted."""
        config = Config.fromfile(self.config)
        weights = Path(config.model.lmm.name_or_path, 'model.safetensors')
        return {
            'num_images': self.num_images,
            'seed': self.seed,
            'config': _fingerprint(config.dump().encode()),
            'lmm': _fingerprint(weights.read_bytes()) if weights.exists() else config.model.lmm.name_or_path,
        }


def run_task(task: Task) -> Task:
    """Train and test, and write ``task.result_file``."""
    start = time.time()
    torch.set_num_threads(task.threads)
    disable_progress_bar()
    config = Config.fromfile(task.config)
    config.model.update(task.condition.model)
    init_default_scope(config.default_scope)
    train, val = _known_samples(config, task)
    metrics = train_and_test(config, task, train=train, val=val)
    result = {
        'condition': asdict(task.condition),
        'scenes': task.scenes,
        **task.origin(),
        'tokens': fmean(len(sample.layout) for sample in val.samples),
        'kept_fraction': fmean(val.kept_fractions),
        'metrics': {key.removeprefix(f'{PROTOCOL}/'): value for key, value in metrics.items()},
        'seconds': round(time.time() - start),
    }
    task.result_file.parent.mkdir(parents=True, exist_ok=True)
    write_json(task.result_file, result, indent=2)  # a resumed sweep skips what is there
    return task


def _fingerprint(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _known_samples(config: Config, task: Task) -> list[KnownSamples]:
    model = MODELS.build(config.model).to(get_device()).eval()
    datasets = {'train': config.train_dataloader.dataset, 'val': config.val_dataloader.dataset}
    datasets['val'].name = PROTOCOL
    return [
        known_samples(
            model,
            ConfigDict(dataset, data_root=task.data_root),
            task.condition,
            num_images=task.num_images[split],
            seed=task.seed,
        )
        for split, dataset in datasets.items()
    ]


def train_and_test(config: Config, task: Task, *, train: KnownSamples, val: KnownSamples) -> dict[str, float]:
    """Run the config's schedule on the first samples and its metric on the others: what tools/train.py does with it."""
    loaders = {
        'train_dataloader': Runner.build_dataloader(ConfigDict(config.train_dataloader, dataset=train), seed=task.seed),
        'test_dataloader': Runner.build_dataloader(ConfigDict(config.val_dataloader, dataset=val), seed=task.seed),
    }
    changed = {
        'work_dir': str(Path(task.work_dir, task.scenes, 'logs', task.condition.name)),
        'experiment_name': f'{task.scenes}-{task.condition.name}-{time.time_ns()}',
        'randomness': {'seed': task.seed},
        'log_level': 'ERROR',
        'default_hooks': {**config.default_hooks, 'checkpoint': None},
        # Tested once, at the end.
        'val_dataloader': None,
        'val_evaluator': None,
        'val_cfg': None,
    }
    known = inspect.signature(Runner).parameters
    arguments = {key: value for key, value in config.items() if key in known}
    runner = GroundingRunner(**{**arguments, **changed, **loaders})
    runner.train()
    return runner.test()
