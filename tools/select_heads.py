"""Rank the LMM's attention heads by how well their maps say where a mask lies, and write configs that read the best.

    python tools/select_heads.py configs/shapes/demo.py --num-images 300 --top 8 16
    python tools/select_heads.py configs/shapes/demo.py --by localization --training-free

--by iou needs truth: a head's score is the mean over phrases of the IoU of its map with the true mask, at the best
threshold of each (flmm.evaluation.best_threshold_iou); phrases without a target do not count. --by localization needs
none: it is how often a head is among those that look at the image and at one place in it
(flmm.evaluation.selection_frequency, after LocalizationHeads, arXiv 2503.06287), and heads that are so equally often
are ordered by their mean entropy. The paper reads the attention of the last token of a question; here it is that of a
phrase's tokens, merged as the config says.

Either way a head counts in the best view of the image where the LMM reads several, and without its padding. Nothing is
trained: the images are the first of the train loader, in the order of --seed. Writes ``heads.json``, all ranked heads,
and ``<config>_heads_<k>.py`` to the work dir; with --training-free ``<config>_training_free_<k>.py``, too, whose masks
need no checkpoint: attention above a threshold (AttentionThreshold), and SAM prompted by its box.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from mmengine.config import DictAction
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from torch import Tensor
from tqdm import tqdm

from flmm.atomic_write import write_json, write_text
from flmm.clip_sample import ClipSample
from flmm.config import read_config
from flmm.evaluation import best_threshold_iou, selection_frequency, spatial_entropy
from flmm.features import cached_features_in
from flmm.geometry import area_coverage, image_cells
from flmm.models import FrozenLMM
from flmm.models.build import without_tracker
from flmm.models.frozen_parts import no_embeddings
from flmm.registry import MODELS
from flmm.structures import GroundingSample, ImageView

TRAINING_FREE = """
    mask_head=dict(_delete_=True, type='AttentionThreshold'),
    padding_cut='exact',
    sam=dict(use_text=False, use_mask=False, box_of='largest_component'),"""
PRINTED = {
    'iou': 'IoU {iou:.3f}',
    'localization': 'selected for {frequency:.3f} of the phrases, entropy {entropy:.3f}, {mass:.3f} on the image',
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config whose model and train loader are used')
    parser.add_argument('--by', choices=['iou', 'localization'], default='iou', help='with truth masks, or without')
    parser.add_argument('--num-images', type=int, default=300)
    parser.add_argument(
        '--top', type=int, nargs='+', help='write a config for each of these numbers; 8 16 32, or 1 3 10 training-free'
    )
    parser.add_argument('--training-free', action='store_true', help='also write configs that need no training')
    parser.add_argument(
        '--skip-layers', type=int, help='leave out so many of the first layers; 2 by localization, as its paper does'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the order of the images and of random sentences')
    parser.add_argument('--work-dir', type=Path, help='defaults to work_dirs/<config name>')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    args = parser.parse_args()
    if args.top is None:
        args.top = [1, 3, 10] if args.training_free else [8, 16, 32]
    if args.skip_layers is None:
        args.skip_layers = 2 if args.by == 'localization' else 0
    return args


def main() -> None:
    args = parse_args()
    config = read_config(args.config, args.cfg_options)
    if any(cached_features_in(config.train_dataloader)):
        raise ValueError(f'{args.config} reads stored features; rank the heads with the config of the model itself')
    if args.by == 'localization' and config.model.get('coarse_attention') == 'copy':
        raise ValueError(f"{args.config} has coarse_attention='copy', which multiplies attention; set it to 'spread'")
    reset = 'layers=None, ' if config.model.get('layers') is not None else ''
    # What is trained on masks or judges existence reads the old heads, and nothing of it is read here.
    trained = [key for key in ('existence', 'trained_masks') if config.model.get(key) is not None]
    config.model.update(layers=None, heads=None, **dict.fromkeys(trained))
    init_default_scope(config.default_scope)
    set_random_seed(args.seed)
    loader = Runner.build_dataloader({**config.train_dataloader, 'drop_last': False}, seed=args.seed)
    if not 1 <= args.num_images <= len(loader.dataset):
        raise ValueError(f'--num-images is {args.num_images}, the train loader has 1 to {len(loader.dataset)}')
    model = MODELS.build(without_tracker(config.model)).to(get_device()).eval()
    channels = [(layer, head) for layer, heads in model.heads.items() for head in heads]
    ranked = [index for index, (layer, _) in enumerate(channels) if layer >= args.skip_layers]
    _check_tops(args, len(ranked), 'reads')

    scores = _scores(_iou if args.by == 'iou' else _mass_and_entropy, model, loader, args.num_images)
    rows = _ranking(args.by, scores[..., ranked], [channels[index] for index in ranked])
    work_dir = args.work_dir or Path('work_dirs', Path(args.config).stem)
    work_dir.mkdir(parents=True, exist_ok=True)
    document = {'config': args.config, 'by': args.by, 'num_images': args.num_images, 'num_phrases': len(scores)}
    write_json(work_dir / 'heads.json', {**document, 'heads': rows})
    if args.by == 'localization':
        _check_tops(args, sum(row['frequency'] > 0 for row in rows), 'localizes with')
    for top in args.top:
        pairs = ', '.join(map(str, sorted((row['layer'], row['head']) for row in rows[:top])))
        heads, says = f'\n    {reset}heads=[{pairs}],', f'The {top} best heads of {len(channels)}'
        _write_config(args, work_dir, f'heads_{top}', heads, says)
        if args.training_free:
            untrained = TRAINING_FREE + ''.join(f'\n    {key}=None,' for key in trained)
            _write_config(args, work_dir, f'training_free_{top}', heads + untrained, f'{says}, without training')
    for row in rows[: max(args.top)]:
        print('layer {layer:2} head {head:2}: '.format(**row) + PRINTED[args.by].format(**row))


def _check_tops(args: argparse.Namespace, number: int, does: str) -> None:
    too_many = [top for top in args.top if not 1 <= top <= number]
    if too_many:
        skipped = f' behind the first {args.skip_layers} layers (--skip-layers)' if args.skip_layers else ''
        raise ValueError(f'--top {too_many} is not possible, {args.config} {does} {number} heads{skipped}')


def _ranking(by: str, scores: Tensor, heads: list[tuple[int, int]]) -> list[dict[str, float]]:
    """Order ``heads``, best first, by [M, scores, heads] of what :func:`_iou` or :func:`_mass_and_entropy` says."""
    if by == 'iou':
        figures = {'iou': scores[:, 0].mean(dim=0)}
        order = figures['iou'].argsort(descending=True, stable=True)
    else:
        mass, entropy = scores.unbind(dim=1)  # [M, heads]
        frequency = selection_frequency(mass, entropy)
        figures = {'frequency': frequency, 'entropy': entropy.mean(dim=0), 'mass': mass.mean(dim=0)}
        order = figures['entropy'].argsort(stable=True)
        order = order[frequency[order].argsort(descending=True, stable=True)]
    return [
        {
            'layer': heads[index][0],
            'head': heads[index][1],
            **{name: each[index].item() for name, each in figures.items()},
        }
        for index in order.tolist()
    ]


def _scores(
    score: Callable[[FrozenLMM, GroundingSample, Tensor], Tensor],
    model: FrozenLMM,
    loader: torch.utils.data.DataLoader,
    num_images: int,
) -> Tensor:
    """Score the maps of the first ``num_images`` samples: [M, number of scores, heads], M over all of them."""
    scores, seen = [], 0
    with tqdm(total=num_images, unit='image') as progress:
        for batch in loader:
            samples = model.data_preprocessor(batch)['data_samples'][: num_images - seen]
            for sample, maps in _read(model, samples):
                scores.append(score(model, sample, maps.unflatten(1, (model.num_views, -1))))  # [M, V, C, h, w]
            seen += len(samples)
            progress.update(len(samples))
            if seen == num_images:
                break
    found = torch.cat(scores)
    if not len(found):
        raise ValueError(
            f'no phrase of the first {num_images} images has a target, so no head can be scored by its mask'
        )
    return found


def _read(model: FrozenLMM, samples: list[GroundingSample | ClipSample]) -> Iterator[tuple[GroundingSample, Tensor]]:
    """Yield images, and the frames of clips, with their attention."""
    images = [sample for sample in samples if isinstance(sample, GroundingSample)]
    if images:
        yield from zip(images, model.run_lmm(images)[0], strict=True)
    for clip in (sample for sample in samples if isinstance(sample, ClipSample)):
        for part in model.encode_frames(clip, embed=no_embeddings):
            yield from ((frame, frame.features.attentions) for frame in part)


def _iou(model: FrozenLMM, sample: GroundingSample, maps: Tensor) -> Tensor:
    if sample.masks is None:
        raise ValueError(f'image {sample.image_path!r} has no truth masks to score the heads by')
    coverage = area_coverage(sample.masks, sample.grid_size)
    rows, columns = image_cells(sample.meta_data, sample.grid_size)
    iou = best_threshold_iou(maps[..., rows, columns].flatten(1, 2), coverage[:, rows, columns])
    iou = iou.unflatten(1, maps.shape[1:3]).amax(dim=1)  # [M, C]
    return iou[sample.has_target, None].cpu()  # [M with a target, 1, C]


def _mass_and_entropy(model: FrozenLMM, sample: GroundingSample, maps: Tensor) -> Tensor:
    rows, columns = image_cells(sample.meta_data, sample.grid_size)
    maps = maps[..., rows, columns]
    # Maps of other views were resampled to the grid of the last: their means stayed, their sums did not.
    mass = sum(maps[:, index].mean(dim=(2, 3)) * _num_image_cells(view) for index, view in enumerate(sample.views))
    entropy = spatial_entropy(maps.flatten(1, 2)).unflatten(1, maps.shape[1:3]).amin(dim=1)
    return torch.stack([mass.cpu(), entropy], dim=1)  # [M, 2, C]


def _num_image_cells(view: ImageView) -> int:
    rows, columns = image_cells(view.meta_data, view.layout.grid_size)
    return (rows.stop - rows.start) * (columns.stop - columns.start)


def _write_config(args: argparse.Namespace, work_dir: Path, name: str, model: str, says: str) -> None:
    path = work_dir / f'{Path(args.config).stem}_{name}.py'
    base = Path(os.path.relpath(args.config, work_dir)).as_posix()
    write_text(
        path,
        f'"""{says}, by tools/select_heads.py --by {args.by} on {args.num_images} images."""\n\n'
        f'_base_ = {base if base.startswith(".") else "./" + base!r}\nmodel = dict({model}\n)\n',
    )


if __name__ == '__main__':
    main()
