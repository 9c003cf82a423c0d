"""Of the configs of a dataset and a model, what stored features depend on, without the places where files lie.

Data, models and features may be moved: ``CONTENT`` stands for a file or checkpoint, and ``<data_root 0>`` for a local
data_root. A remote one stands there itself, since remote pictures are not always compared.
"""

import os
from collections.abc import Mapping
from typing import Any

from flmm.config import CHECKPOINT_KEYS, mappings_in
from flmm.features.file_state import is_remote

CONTENT = '<compared by content>'
NOT_FROZEN = (
    'mask_head',
    'loss_mask',
    'loss_dice',
    'loss_iou',
    'padding_cut',
    'decode_budget',
    'data_preprocessor',
    'compiled',
    'existence',
    'trained_masks',
    'tracker',
)
"""Keys of a config of the model that features don't depend on."""


def frozen_part(model: Mapping[str, Any]) -> dict[str, Any]:
    """Of a config of the model what its features depend on: all but what is trained or is about training.

    Nor do they depend on which GPUs the LMM lies on (``device_map``).
    """
    frozen = {key: value for key, value in model.items() if key not in NOT_FROZEN}
    lmm = {key: value for key, value in model['lmm'].items() if key != 'device_map'}
    return {**frozen, 'lmm': lmm, 'sam': model['sam']['sam']}


def without_places(config: Any, *, key: str, files: dict[str, str], data_roots: tuple[str, ...] = ()) -> Any:
    """Copy a config with ``CONTENT`` for what names a file or checkpoint, and names for ``data_roots``.

    A string names a file if there is one, as it stands or below the data_root of its config. What a key that ends in
    '_file' names must be one.

    Args:
        config: the config of a dataset or model.
        key: dotted, of the config itself.
        files: gets the place of each file and checkpoint, by its key.
        data_roots: the dataset's; see :func:`data_roots_in`.

    Raises:
        ValueError: what a key that ends in '_file' names is no local file.
    """

    def copied(value: Any, key: str, root: str | os.PathLike) -> Any:
        if isinstance(value, Mapping):
            root = value.get('data_root') or root
            return {name: copied(inner, f'{key}.{name}', root) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [copied(inner, f'{key}.{number}', root) for number, inner in enumerate(value)]
        name = key.rpartition('.')[2]
        if not isinstance(value, (str, os.PathLike)) or not str(value) or name == 'type':
            return value
        if name == 'data_root':
            return root_name(data_roots.index(_as_root(value))) if _as_root(value) in data_roots else value
        place = str(value) if name in CHECKPOINT_KEYS else os.path.join(root, value)
        if name.endswith('_file') and not os.path.isfile(place):
            raise ValueError(f'{key} {place!r} is no file on this machine; check it and data_root')
        if name not in CHECKPOINT_KEYS and not os.path.isfile(place):
            return value
        files[key] = place
        return CONTENT

    return copied(config, key, '')


def data_roots_in(dataset: Mapping[str, Any], *, backend_args: dict | None = None) -> tuple[str, ...]:
    """Find every local data_root in the config of a dataset, those within wrappers included; see ``MadeWith``."""
    roots = (mapping.get('data_root') for mapping in mappings_in(dataset))
    return tuple(dict.fromkeys(_as_root(root) for root in roots if root and not is_remote(root, backend_args)))


def root_name(number: int) -> str:
    """Name a local data_root, wherever it lies, by its place in :func:`data_roots_in`."""
    return f'<data_root {number}>'


def backend_args_in(dataset: Mapping[str, Any]) -> dict | None:
    """Find the file backend through which the pipelines of a dataset read pictures.

    Raises:
        ValueError: they are not the same in all pipelines.
    """
    found: list[dict | None] = []
    for mapping in mappings_in(dataset):
        if 'pipeline' in mapping:
            given = [inner['backend_args'] for inner in mappings_in(mapping['pipeline']) if inner.get('backend_args')]
            found += given or [None]
    if any(one != found[0] for one in found):
        raise ValueError(
            f'the pipelines of the dataset read pictures through different backend_args, {found}; store the features '
            'of each dataset in a folder of its own'
        )
    return dict(found[0]) if found and found[0] else None


def _as_root(folder: str | os.PathLike) -> str:
    return os.path.join(folder, '')
