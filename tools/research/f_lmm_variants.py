"""What single differences from F-LMM's own code do: the demo trained and tested with one of them undone at a time.

    python tools/research/f_lmm_variants.py --seeds 0 1 2

Needs data/shapes, as `make demo` draws it. Results lie in <work-dir>/<variant>_<seed>/metrics.json; those that are
there already are not made again. The table has means over the test sets and seeds: docs/coming_from_f_lmm.md.
"""

import argparse
import json
import statistics
from contextlib import nullcontext
from pathlib import Path

CONFIG = 'configs/shapes/demo.py'
COLUMNS = ('coarse/cIoU', 'coarse/mIoU', 'refined/cIoU', 'refined/mIoU')
VARIANTS = {
    'default': 'this package',
    'detached': '(the mask prompt detached)',
    'scale_factor': 'maps enlarged by a scale factor',
    'near_zero': 'conv_seg starts near zero',
    'coarse_nearest': 'coarse target by nearest neighbour',
    'refined_resized': 'refined target from the resized mask',
    'box_one_past': 'box ends one pixel past the mask',
    'padding': 'mask prompt padded with the lowest logit of all masks',
    'one_text': "all phrases in one text, '.' behind each",
    'bfloat16': 'the LMM in bfloat16',
}
"""Name -> how F-LMM does it: by the config (below), or by a patch of this package (f_lmm_ways.PATCHES)."""
OVERRIDES = {
    'detached': {'+model.sam.detach_mask_prompt': True},
    'scale_factor': {'+model.mask_head.upsample_by': 'scale_factor'},
    'bfloat16': {'model.lmm.dtype': 'bfloat16'},
}


def run(name: str, seed: int, work_dir: Path) -> None:
    """Train and test a variant."""
    # Not above, here and below: --help answers at once.
    from f_lmm_ways import PATCHES

    from flmm.config import read_config
    from flmm.engine.runner_from_args import build_runner
    from flmm.evaluation import write_metrics

    overrides = {'randomness.seed': seed, 'work_dir': str(work_dir), 'launcher': 'none', 'log_level': 'WARNING'}
    config = read_config(CONFIG, {**overrides, 'experiment_name': work_dir.name, **OVERRIDES.get(name, {})})
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    with PATCHES[name]() if name in PATCHES else nullcontext():
        runner = build_runner(config)
        runner.train()
        write_metrics(runner.test(), work_dir / 'metrics.json')


def table(names: list[str], seeds: list[int], work_dir: Path) -> str:
    """Average over the test sets and seeds."""
    from flmm.evaluation import align_rows

    rows = [['F-LMM', *COLUMNS, 'refined mIoU of the seeds']]
    for name in names:
        per_seed = []
        for seed in seeds:
            metrics = json.loads((work_dir / f'{name}_{seed}' / 'metrics.json').read_text())
            sets = {key.removesuffix('/refined/mIoU') for key in metrics if key.endswith('/refined/mIoU')}
            per_seed.append(
                {column: statistics.mean(metrics[f'{each}/{column}'] for each in sets) for column in COLUMNS}
            )
        means = [f'{statistics.mean(seed[column] for seed in per_seed):.1f}' for column in COLUMNS]
        rows.append([VARIANTS[name], *means, ' '.join(f'{seed["refined/mIoU"]:.1f}' for seed in per_seed)])
    return align_rows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--variants', nargs='+', choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/f_lmm_variants'))
    args = parser.parse_args()
    for seed in args.seeds:
        for name in args.variants:
            work_dir = args.work_dir / f'{name}_{seed}'
            if not (work_dir / 'metrics.json').exists():
                run(name, seed, work_dir)
    print(table(args.variants, args.seeds, args.work_dir))


if __name__ == '__main__':
    main()
