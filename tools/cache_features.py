"""Run the frozen parts once over the datasets of a config, and store what they say.

    python tools/cache_features.py configs/shapes/demo_cached.py
    torchrun --nproc_per_node=8 tools/cache_features.py CONFIG

Every CachedFeatures in the loaders of the config is done. Started again after an interruption, it goes on
with the shards that are missing, and refuses to where pictures of the others have changed. Several processes share
the shards: torchrun tells them their number, or --rank and --world-size do; they need not run at the same time or on
one machine.
"""

import argparse
import inspect
import os
import random

import torch
from mmengine.config import DictAction
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from flmm.config import read_config
from flmm.features import CachedFeatures, FeatureStore, MadeWith, StoredSample, cached_features_in
from flmm.features.shards import IMAGES_PER_SHARD
from flmm.models import FrozenLMM
from flmm.models.build import without_tracker
from flmm.registry import DATASETS, MODELS
from flmm.structures import FrozenFeatures

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


class ImageSamples(Dataset):
    """The samples of one image: all items on it, each as often as it is to be stored.

    Args:
        dataset: makes the samples.
        draws: how often each item is stored.
        seed: Where random drawings start from.

    Raises:
        ValueError: the dataset leaves items out, or is one of videos.
    """

    def __init__(self, dataset: Dataset, *, draws: int, seed: int) -> None:
        if getattr(dataset, 'max_skipped', 0):
            raise ValueError(
                f'the dataset has max_skipped={dataset.max_skipped}, but features are stored of every item; set it to 0'
            )
        self.dataset = dataset
        self.draws = draws
        self.seed = seed
        items: dict[str, list[int]] = {}
        for item in range(len(dataset)):
            info = dataset.get_data_info(item)
            if 'img_path' not in info:
                raise ValueError(
                    f'item {item} of the dataset is no image but {sorted(info)}: features are stored of images, and '
                    'of no videos; train on the dataset itself'
                )
            items.setdefault(info['img_path'], []).append(item)
        self.paths = list(items)
        self.items = list(items.values())

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> list[StoredSample]:
        found = []
        for item in self.items[index]:
            for draw in range(self.draws):
                set_random_seed(random.Random(f'{self.seed} {item} {draw}').getrandbits(32))
                made = self.dataset[item]
                for sample in made if isinstance(made, list) else [made]:
                    # Of equal images one object, unless the pipeline changes them: the frozen parts read each once.
                    known = (stored.sample.image for stored in found if stored.sample.image == sample.image)
                    sample.image = next(known, sample.image)
                    found.append(StoredSample(item=item, draw=draw, is_list=isinstance(made, list), sample=sample))
        return found


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument(
        '--batch-size', type=int, default=4, help='images, and samples, that go through the model together'
    )
    parser.add_argument('--num-workers', type=int, default=2, help='processes that load images')
    parser.add_argument('--rank', type=int, default=int(os.environ.get('RANK', 0)), help='number of this process')
    parser.add_argument('--world-size', type=int, default=int(os.environ.get('WORLD_SIZE', 1)))
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if not 0 <= args.rank < args.world_size:
        raise ValueError(f'--rank is {args.rank}, expected 0 to {args.world_size - 1} (--world-size - 1)')
    # A shard's tensors come from other processes; by default each would hold an open file until the shard is written.
    torch.multiprocessing.set_sharing_strategy('file_system')
    config = read_config(args.config, args.cfg_options)
    init_default_scope(config.default_scope)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get('LOCAL_RANK', 0)))
    cached = list(cached_features_in([config.get(loader) for loader in LOADERS]))
    if not cached:
        raise ValueError(f'{args.config} has no dataset of type CachedFeatures; see configs/shapes/demo_cached.py')
    for dataset in cached:
        _store(dataset, args)


def _store(cached: dict, args: argparse.Namespace) -> None:
    given = inspect.signature(CachedFeatures).bind(**{key: value for key, value in cached.items() if key != 'type'})
    given.apply_defaults()
    options = dict(given.arguments)
    folder, pictures = options.pop('folder'), options.pop('pictures')
    images = ImageSamples(DATASETS.build(cached.dataset), draws=options['draws'], seed=options['seed'])
    # Before its files are looked at: of a checkpoint of the hub they are all here only when it has been loaded.
    model = MODELS.build(without_tracker(cached.model)).to(get_device()).eval()
    store = FeatureStore(folder, made_with=MadeWith.from_configs(**options), pictures=pictures)
    missing = store.open_to_write(num_images=len(images))
    mine = [shard for shard in missing if shard % args.world_size == args.rank]
    with tqdm(total=len(mine), unit='shard', desc=str(folder)) as progress:
        for shard in mine:
            first = shard * IMAGES_PER_SHARD
            subset = torch.utils.data.Subset(images, range(first, min(first + IMAGES_PER_SHARD, len(images))))
            states = store.read_pictures(images.paths[first : first + IMAGES_PER_SHARD])
            loader = DataLoader(
                subset,
                batch_size=args.batch_size,
                num_workers=args.num_workers,
                collate_fn=_flattened,
            )
            samples = [stored for batch in loader for stored in _with_features(model, batch, args.batch_size)]
            store.write(shard, samples, pictures=states, dtype=options['dtype'])
            progress.update()


def _flattened(images: list[list[StoredSample]]) -> list[StoredSample]:
    return [stored for samples in images for stored in samples]


@torch.no_grad()
def _with_features(model: FrozenLMM, samples: list[StoredSample], batch_size: int) -> list[StoredSample]:
    images = {id(stored.sample.image): stored.sample.image for stored in samples}
    embeddings = {
        key: {name: part.cpu() for name, part in embedding.items()}
        for key, embedding in zip(images, model.sam.encode_images(list(images.values())), strict=True)
    }
    for start in range(0, len(samples), batch_size):
        batch = samples[start : start + batch_size]
        read = zip(*model.run_lmm([stored.sample.to(get_device()) for stored in batch]), strict=True)
        for stored, (attentions, hidden_states) in zip(batch, read, strict=True):
            stored.sample.features = FrozenFeatures(
                attentions=attentions.cpu(),
                hidden_states=hidden_states.cpu(),
                image_embedding=embeddings[id(stored.sample.image)],
                made_by=model.frozen_parts(),
            )
            stored.sample.image = stored.sample.lmm_inputs = None  # a shard of them would fill the memory
    return samples


if __name__ == '__main__':
    main()
