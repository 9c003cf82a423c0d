"""What stored features are made with: settings that are compared as they stand, and files by what is in them."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import transformers

import flmm
from flmm.features.file_state import FileState, compare_files
from flmm.features.fingerprint import fingerprint, large_weights
from flmm.features.records import DTYPES
from flmm.features.settings import backend_args_in, data_roots_in, frozen_part, root_name, without_places
from flmm.features.shards import IMAGES_PER_SHARD

FEATURES_VERSION = 6
"""Changes when the same model, processor and data give other features than before."""


@dataclass(frozen=True, kw_only=True)
class MadeWith:
    """What features are made with.

    Args:
        settings: JSON, without places.
        files: the file, folder or name on the hub of each dotted key of the configs where ``CONTENT`` stands.
        data_roots: local folders that end in '/', without repetition, in the order of the dataset's config.
        backend_args: what mmengine's fileio is given to read pictures.

    >>> made_with = MadeWith.from_configs(dataset=dataset, model=model, draws=1, dtype='float16', seed=0)
    """

    settings: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    data_roots: tuple[str, ...] = ()
    backend_args: dict | None = None

    @classmethod
    def from_configs(cls, *, dataset: dict, model: dict, draws: int, dtype: str, seed: int) -> 'MadeWith':
        """Collect what features depend on. For the arguments see :class:`CachedFeatures`.

        Raises:
            ValueError: an argument is out of range, or an annotation file is not on this machine.
        """
        if dtype not in DTYPES:
            raise ValueError(f'dtype is {dtype!r}, expected one of {sorted(DTYPES)}')
        if draws < 1:
            raise ValueError(f'draws is {draws}, expected 1 or more')
        files: dict[str, str] = {}
        backend_args = backend_args_in(dataset)
        data_roots = data_roots_in(dataset, backend_args=backend_args)
        versions = {'flmm': flmm.__version__, 'transformers': transformers.__version__, 'features': FEATURES_VERSION}
        settings = {
            'versions': {**versions, 'images_per_shard': IMAGES_PER_SHARD},
            'model': without_places(frozen_part(model), key='model', files=files),
            'dataset': without_places(dataset, key='dataset', files=files, data_roots=data_roots),
            'draws': draws,
            'dtype': dtype,
            'seed': seed,
        }
        return cls(
            settings=json.loads(json.dumps(settings, default=_plain)),  # tuples as the lists that JSON gives back
            files=files,
            data_roots=data_roots,
            backend_args=backend_args,
        )

    def name_of(self, path: str | os.PathLike) -> str:
        """Name a picture so that the name stays when its data_root is moved; see :meth:`path_of`."""
        path = os.fspath(path)
        roots = [root for root in self.data_roots if path.startswith(root)]
        if not roots:
            return path
        root = max(roots, key=len)
        return f'{root_name(self.data_roots.index(root))}/{path[len(root) :]}'

    def path_of(self, name: str) -> str:
        """Find the picture of a name that :meth:`name_of` gave, maybe elsewhere."""
        for number, root in enumerate(self.data_roots):
            if name.startswith(f'{root_name(number)}/'):
                return root + name[len(root_name(number)) + 1 :]
        return name

    def describe(self) -> dict[str, Any]:
        """Write down settings and files as JSON, for :meth:`difference`. Weights of any size are read whole.

        Raises:
            ValueError: a checkpoint is not on this machine.
        """
        found = {
            place: {
                'fingerprint': fingerprint(place),
                'weights': {name: asdict(FileState.read(str(path))) for name, path in large_weights(place).items()},
            }
            for place in dict.fromkeys(self.files.values())
        }
        return {'made_with': self.settings, 'files': {key: found[place] for key, place in self.files.items()}}

    def difference(self, described: Mapping[str, Any]) -> str | None:
        """Say what differs from what :meth:`describe` wrote down: the first setting, or else all files.

        Of files fingerprints are compared. Large weights, of which these are blocks only, are read whole where their
        time stamps differ.

        Returns:
            What differs, to stand behind 'made with another'; None where nothing does.

        Raises:
            ValueError: a checkpoint is not on this machine.
        """
        difference = first_difference(described['made_with'], self.settings)
        if difference:
            return difference
        files = described['files']
        found = {place: fingerprint(place) for place in dict.fromkeys(self.files.values())}
        changed = [
            f'{place!r} ({key})' for key, place in self.files.items() if found[place] != files[key]['fingerprint']
        ]
        if not changed:
            weights = {
                (str(path), FileState(**files[key]['weights'][name]))
                for key, place in self.files.items()
                for name, path in large_weights(place).items()
            }
            changed = [f'{path!r} ({change})' for path, change in sorted(compare_files(weights).changed.items())]
        return ', '.join(changed) or None


def first_difference(first: Any, second: Any, *, path: str = '') -> str | None:
    """Describe where two JSON documents differ first, as 'key.key (one, not other)'; None where they do not.

    Keys are compared in the order of ``first``.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        for key in dict.fromkeys([*first, *second]):
            below = f'{path}.{key}' if path else str(key)
            found = first_difference(first.get(key), second.get(key), path=below)
            if found:
                return found
        return None
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return first_difference(dict(enumerate(first)), dict(enumerate(second)), path=path)
    return None if first == second else f'{path} ({first!r}, not {second!r})'.strip()


def _plain(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise ValueError(f'{value!r} of type {type(value).__name__} cannot stand in a config whose features are stored')
