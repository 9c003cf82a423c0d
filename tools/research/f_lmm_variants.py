"""What single differences from F-LMM's own code do: the demo trained and tested with one of them undone at a time.

    python tools/research/f_lmm_variants.py --seeds 0 1 2

Needs data/shapes, as `make demo` draws it. Results lie in <work-dir>/<variant>_<seed>/metrics.json; those that are
there already are not made again. The table has means over the test sets and seeds: docs/coming_from_f_lmm.md.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm.config import read_config
from flmm.datasets import RefCOCO2PNG
from flmm.engine.runner_from_args import build_runner
from flmm.evaluation import align_rows, write_metrics
from flmm.geometry import masks_to_boxes, resize_logits, sam_content_size
from flmm.models import FrozenLMM, UNetHead, frozen_lmm
from flmm.models.mask_head import mask_refiner
from flmm.structures import GroundingSample

CONFIG = 'configs/shapes/demo.py'
COLUMNS = ('coarse/cIoU', 'coarse/mIoU', 'refined/cIoU', 'refined/mIoU')


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A difference, undone.

    Args:
        what: how F-LMM does it.
        overrides: of the config.
        patch: makes what puts F-LMM's way in place of this package's.
    """

    what: str
    overrides: dict[str, Any] = field(default_factory=dict)
    patch: Callable[[], AbstractContextManager] = nullcontext


def patched(target: object, name: str, make: Callable[..., Any]) -> Callable[[], AbstractContextManager]:
    """Replace ``target.name`` by ``make`` of what stands there."""
    return partial(mock.patch.object, target, name, make(getattr(target, name)))


def nearest_coverage(_: Callable) -> Callable:
    return lambda masks, size: F.interpolate(masks[None].float(), size=tuple(size))[0]


def losses_on_resized_truth(losses: Callable) -> Callable:
    def changed(self: FrozenLMM, grounded: list[GroundingSample], coarse: list[Tensor]) -> dict[str, Tensor]:
        resized = [
            replace(sample, gt_masks=F.interpolate(sample.masks[None].float(), size=sample.gt_masks.shape[-2:])[0] > 0)
            for sample in grounded
        ]
        return losses(self, resized, coarse)

    return changed


def with_last_separator(sample: Callable) -> Callable:
    def changed(self: RefCOCO2PNG, *args: Any) -> GroundingSample:
        made, dot = sample(self, *args), torch.tensor(self.separator_ids)
        return replace(
            made,
            input_ids=torch.cat([made.input_ids, dot]),
            mask_ids=torch.cat([made.mask_ids, torch.full_like(dot, -1)]),
        )

    return changed


def boxes_one_past(_: Callable) -> Callable:
    return lambda masks: masks_to_boxes(masks) + torch.tensor([0.0, 0.0, 1.0, 1.0], device=masks.device)


def padded_with_lowest_of_all(_: Callable) -> Callable:
    def changed(logits: Tensor, sam_size: int, grid_size: tuple[int, int]) -> Tensor:
        height, width = sam_content_size(logits.shape[-2:], sam_size)
        square = logits.new_full((len(logits), sam_size, sam_size), min(-1.0, logits.min().item()))
        square[:, :height, :width] = resize_logits(logits, (height, width))
        return resize_logits(square, grid_size)

    return changed


def starting_near_zero(init_weights: Callable) -> Callable:
    def changed(self: UNetHead) -> None:
        init_weights(self)
        torch.nn.init.normal_(self.conv_seg.weight, std=0.01)

    return changed


VARIANTS = {
    'default': Variant(what='this package'),
    'detached': Variant(what='(the mask prompt detached)', overrides={'+model.sam.detach_mask_prompt': True}),
    'scale_factor': Variant(
        what='maps enlarged by a scale factor', overrides={'+model.mask_head.upsample_by': 'scale_factor'}
    ),
    'near_zero': Variant(what='conv_seg starts near zero', patch=patched(UNetHead, 'init_weights', starting_near_zero)),
    'coarse_nearest': Variant(
        what='coarse target by nearest neighbour', patch=patched(frozen_lmm, 'area_coverage', nearest_coverage)
    ),
    'refined_resized': Variant(
        what='refined target from the resized mask', patch=patched(FrozenLMM, '_losses', losses_on_resized_truth)
    ),
    'box_one_past': Variant(
        what='box ends one pixel past the mask', patch=patched(mask_refiner, 'masks_to_boxes', boxes_one_past)
    ),
    'padding': Variant(
        what='mask prompt padded with the lowest logit of all masks',
        patch=patched(mask_refiner, 'logits_to_sam', padded_with_lowest_of_all),
    ),
    'last_dot': Variant(
        what="'.' behind the last phrase, too", patch=patched(RefCOCO2PNG, '_sample', with_last_separator)
    ),
    'bfloat16': Variant(what='the LMM in bfloat16', overrides={'model.lmm.dtype': 'bfloat16'}),
}


def run(name: str, seed: int, work_dir: Path) -> None:
    """Train and test a variant."""
    overrides = {'randomness.seed': seed, 'work_dir': str(work_dir), 'launcher': 'none', 'log_level': 'WARNING'}
    config = read_config(CONFIG, {**overrides, 'experiment_name': work_dir.name, **VARIANTS[name].overrides})
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    with VARIANTS[name].patch():
        runner = build_runner(config)
        runner.train()
        write_metrics(runner.test(), work_dir / 'metrics.json')


def table(names: list[str], seeds: list[int], work_dir: Path) -> str:
    """Average over the test sets and seeds."""
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
        rows.append([VARIANTS[name].what, *means, ' '.join(f'{seed["refined/mIoU"]:.1f}' for seed in per_seed)])
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
