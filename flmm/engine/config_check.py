"""What would otherwise go wrong silently: misspelt keys, which mmengine ignores, and features of another model."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.runner import Runner

from flmm.datasets import cached_features_in
from flmm.fingerprint import first_difference, frozen_part
from flmm.models.lmm_loading import LMMWithoutWeights
from flmm.registry import is_type

# What Runner reads from a config beside its own arguments.
OTHER_KEYS = (
    'activation_checkpointing',
    'compile',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'sync_bn',
)


def check_config_keys(keys: Iterable[str]) -> None:
    """Refuse top-level keys that look like a misspelt key of mmengine's Runner.

    A config may define variables of its own; only near misses are refused.

    Raises:
        ValueError: naming each such key and the key it was probably meant to be.
    """
    known = [*inspect.signature(Runner.__init__).parameters, *OTHER_KEYS]
    misspelt = {key: difflib.get_close_matches(key, known, n=1, cutoff=0.85) for key in keys if key not in known}
    messages = [f'{key!r} (did you mean {matches[0]!r}?)' for key, matches in misspelt.items() if matches]
    if messages:
        raise ValueError(f'unknown config key {", ".join(messages)}; rename it, as it would have no effect')


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
