"""What datasets of images and of videos refuse of mmengine's settings."""

import reprlib
from collections.abc import Collection
from typing import Any


def check_dataset_settings(
    settings: dict[str, Any], *, name: str, folders: Collection[str], without_effect: Collection[str]
) -> None:
    """Check what is handed on to mmengine's BaseDataset.

    Args:
        settings: its arguments. ``data_prefix`` is ``{'img_path': ''}`` where there is none.
        name: of the dataset, for messages.
        folders: keys that ``data_prefix`` must have.
        without_effect: arguments of BaseDataset that do nothing here.

    Raises:
        ValueError: one of these is given, or ``data_prefix`` is no dict, lacks a folder, or has something else
            than a path.
    """
    if ignored := set(without_effect) & settings.keys():
        raise ValueError(f'dataset {name!r} has {sorted(ignored)}, which would have no effect; leave them out')
    prefix = settings.get('data_prefix', {'img_path': ''})
    if not isinstance(prefix, dict):
        raise ValueError(
            f'data_prefix of dataset {name!r} is {reprlib.repr(prefix)}, expected a dict of folders with '
            f'{sorted(folders)}; in --cfg-options, name the key: ...dataset.data_prefix.img_path=FOLDER'
        )
    if missing := set(folders) - prefix.keys():
        raise ValueError(f'data_prefix {dict(prefix)} lacks {sorted(missing)}; name the folder of each')
    for key, folder in prefix.items():
        if not isinstance(folder, str):
            raise ValueError(
                f'data_prefix of dataset {name!r} has {folder!r} for {key!r}, expected the path of a folder; where '
                'there is none, leave the key out (over a base config: data_prefix=dict(_delete_=True, ...))'
            )
