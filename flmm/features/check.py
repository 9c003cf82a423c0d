"""Stored features of another model, which would go unnoticed."""

from collections.abc import Mapping
from typing import Any

from flmm.features.dataset import cached_features_in
from flmm.features.made_with import first_difference
from flmm.features.settings import frozen_part
from flmm.models.lmm_loading import LMMWithoutWeights
from flmm.registry import is_type


def check_stored_features(config: Mapping[str, Any]) -> None:
    """Refuse to train or test a model on stored features of another one.

    Raises:
        ValueError: a loader reads features of a model whose frozen part is not that of the config's model.
    """
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for cached in cached_features_in(config.get(name)):
            stored, own = (frozen_part(model) for model in (cached['model'], config['model']))
            if is_type(own['lmm'], LMMWithoutWeights):  # it stands for any way to load the weights
                own['lmm'] = {**own['lmm'], 'type': stored['lmm']['type']}
            difference = first_difference(stored, own)
            if difference:
                raise ValueError(
                    f"{name} reads features of another model than the config's: {difference}; change it in both, and "
                    'make the features again'
                )
