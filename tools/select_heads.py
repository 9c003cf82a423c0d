"""Rank the LMM's attention heads by how well their maps predict masks, and write configs that read the best ones.

    python tools/select_heads.py configs/shapes/demo.py --num-images 300 --top 8 16

A head's score is the mean over phrases of the IoU of its map with the true mask, at the best threshold of each
(flmm.evaluation.best_threshold_iou), in the best view of the image where the LMM reads several, and without its
padding. Nothing is trained: the images are the first of the train loader, in the order of --seed. Writes
``heads.json``, all heads with their scores, and ``<config>_heads_<k>.py`` to the work dir.
"""

import argparse
import json
import os
from pathlib import Path

import torch
from mmengine.config import DictAction
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from tqdm import tqdm

from flmm.config import read_config
from flmm.evaluation import best_threshold_iou
from flmm.features import cached_features_in
from flmm.geometry import area_coverage, image_cells
from flmm.models import FrozenLMM
from flmm.registry import MODELS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config whose model and train loader are used')
    parser.add_argument('--num-images', type=int, default=300)
    parser.add_argument(
        '--top', type=int, nargs='+', default=[8, 16, 32], help='write a config for each of these numbers'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the order of the images and of random sentences')
    parser.add_argument('--work-dir', type=Path, help='defaults to work_dirs/<config name>')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = read_config(args.config, args.cfg_options)
    if any(cached_features_in(config.train_dataloader)):
        raise ValueError(f'{args.config} reads stored features; rank the heads with the config of the model itself')
    reset = 'layers=None, ' if config.model.get('layers') is not None else ''
    config.model.update(layers=None, heads=None)
    init_default_scope(config.default_scope)
    set_random_seed(args.seed)
    loader = Runner.build_dataloader({**config.train_dataloader, 'drop_last': False}, seed=args.seed)
    if args.num_images > len(loader.dataset):
        raise ValueError(f'--num-images is {args.num_images}, the train loader has {len(loader.dataset)}')
    model = MODELS.build(config.model).to(get_device()).eval()
    channels = [(layer, head) for layer, heads in model.heads.items() for head in heads]
    too_many = [top for top in args.top if not 1 <= top <= len(channels)]
    if too_many:
        raise ValueError(f'--top {too_many} is not possible, {args.config} reads 1 to {len(channels)} heads')

    scores = torch.cat(list(_scores(model, loader, args.num_images)))
    mean = scores.mean(dim=0)
    ranking = [
        {'layer': channels[index][0], 'head': channels[index][1], 'iou': mean[index].item()}
        for index in mean.argsort(descending=True, stable=True).tolist()
    ]
    work_dir = args.work_dir or Path('work_dirs', Path(args.config).stem)
    work_dir.mkdir(parents=True, exist_ok=True)
    document = {'config': args.config, 'num_images': args.num_images, 'num_phrases': len(scores), 'heads': ranking}
    (work_dir / 'heads.json').write_text(json.dumps(document, indent=1) + '\n', encoding='utf-8')
    for top in args.top:
        pairs = ', '.join(map(str, sorted((row['layer'], row['head']) for row in ranking[:top])))
        _write_config(args, work_dir, top, f'dict({reset}heads=[{pairs}])', num_heads=len(channels))
    for row in ranking[: max(args.top)]:
        print(f'layer {row["layer"]:2} head {row["head"]:2}: IoU {100 * row["iou"]:.1f} %')


def _scores(model: FrozenLMM, loader: torch.utils.data.DataLoader, num_images: int):
    """Yield [M, heads] for each sample of the first ``num_images``."""
    seen = 0
    with tqdm(total=num_images, unit='image') as progress:
        for batch in loader:
            samples = model.data_preprocessor(batch)['data_samples'][: num_images - seen]
            for sample, maps in zip(samples, model.run_lmm(samples)[0], strict=True):
                if sample.masks is None:
                    raise ValueError(f'image {sample.image_path!r} has no truth masks to score the heads by')
                coverage = area_coverage(sample.masks, sample.grid_size)
                rows, columns = image_cells(sample.meta_data, sample.grid_size)  # padding counts for nothing
                scores = best_threshold_iou(maps[..., rows, columns], coverage[:, rows, columns]).cpu()
                yield scores.unflatten(1, (model.num_views, -1)).amax(1)  # [M, heads]: of its views the best
            seen += len(samples)
            progress.update(len(samples))
            if seen == num_images:
                return


def _write_config(args: argparse.Namespace, work_dir: Path, top: int, model: str, *, num_heads: int) -> None:
    path = work_dir / f'{Path(args.config).stem}_heads_{top}.py'
    base = Path(os.path.relpath(args.config, work_dir)).as_posix()
    path.write_text(
        f'"""The {top} best heads of {num_heads}, by tools/select_heads.py on {args.num_images} images."""\n\n'
        f'_base_ = {base if base.startswith(".") else "./" + base!r}\nmodel = {model}\n',
        encoding='utf-8',
    )


if __name__ == '__main__':
    main()
