"""Samples from stored features, which the frozen parts need not compute again."""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch.utils.data import Dataset

from flmm.config import mappings_in
from flmm.features.made_with import MadeWith
from flmm.features.store import FeatureStore
from flmm.registry import DATASETS, is_type
from flmm.structures import GroundingSample


@DATASETS.register_module()
class CachedFeatures(Dataset):
    """Another dataset, as tools/cache_features.py has stored it with the features of its samples.

    Samples are those of ``dataset``, with ``features`` and without ``image`` and ``lmm_inputs``. Where ``dataset``
    draws at random (sentences, alpha), ``draws`` of each item are stored, and each access takes one of them, drawn from
    Python's ``random``.

    Args:
        folder: where the features are.
        dataset: config of the dataset.
        model: config of the model whose frozen parts make the features.
        draws: how often each item is stored.
        dtype: precision of stored attentions and image embeddings: 'float16', 'bfloat16' or 'float32'.
        seed: what random drawings start from.
        pictures: how pictures are compared with those that the features were made from, once, when this is built:
            'stat' (size and time stamp, and the content where they differ), 'content', or 'unchecked' for training
            where the pictures are not.

    Raises:
        ValueError: no features, or not all; or they were made with another model, processor, dataset or version, or
            from other pictures.

    >>> config = read_config('configs/shapes/demo_cached.py')
    >>> dataset = DATASETS.build(config.train_dataloader.dataset)
    >>> dataset[0].features.attentions  # [M, C, h, w]
    """

    metainfo: ClassVar[dict] = {}
    """None; read by mmengine's ConcatDataset and RepeatDataset."""

    def __init__(
        self,
        *,
        folder: str | Path,
        dataset: dict,
        model: dict,
        draws: int = 1,
        dtype: str = 'float16',
        seed: int = 0,
        pictures: str = 'stat',
    ) -> None:
        made_with = MadeWith.from_configs(dataset=dataset, model=model, draws=draws, dtype=dtype, seed=seed)
        self.store = FeatureStore(folder, made_with=made_with, pictures=pictures)
        self.store.check()
        found: dict[int, dict[int, list[dict[str, Any]]]] = {}
        for record in self.store.records():
            found.setdefault(record['item'], {}).setdefault(record['draw'], []).append(record)
        self._records = [found[item] for item in range(len(found))]

    @property
    def names(self) -> list[str]:
        """The names by which results are reported, of all datasets whose samples are stored."""
        records = (draws[0] for item in self._records for draws in item.values())
        return list(dict.fromkeys(record['dataset_name'] for record in records))

    def full_init(self) -> None:
        """Do nothing: all is there. Called by mmengine's ConcatDataset and RepeatDataset."""

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> GroundingSample | list[GroundingSample]:
        draws = self._records[index]
        samples = [self.store.read(record) for record in draws[random.randrange(len(draws))]]
        return samples if draws[0][0]['is_list'] else samples[0]


def cached_features_in(config: Any) -> Iterator[Mapping[str, Any]]:
    """Find the configs of every CachedFeatures in a config, those within wrappers included."""
    yield from (mapping for mapping in mappings_in(config) if is_type(mapping, CachedFeatures))
