"""What stored features are made with: settings that are compared as they stand, and files by what is in them.

Where files lie is compared nowhere, so that data, models and features may be moved: in the settings ``CONTENT`` stands
for a file or checkpoint, and ``<data_root 0>`` for a local data_root. A remote one stands there itself, since remote
pictures are not always compared.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from flmm.file_state import FileState, compare_files, is_remote
from flmm.fingerprint import CHECKPOINT_KEYS, fingerprint, large_weights, mappings_in

CONTENT = '<compared by content>'


@dataclass(frozen=True, kw_only=True)
class MadeWith:
    """What features are made with.

    Args:
        settings: JSON, without places.
        files: the file, folder or name on the hub of each dotted key of the configs where ``CONTENT`` stands.
        data_roots: local folders that end in '/', without repetition, in the order of the dataset's config.
        backend_args: what mmengine's fileio is given to read pictures.
    """

    settings: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    data_roots: tuple[str, ...] = ()
    backend_args: dict | None = None

    def name_of(self, path: str | os.PathLike) -> str:
        """Name a picture so that the name stays when its data_root is moved; see :meth:`path_of`."""
        path = os.fspath(path)
        roots = [root for root in self.data_roots if path.startswith(root)]
        if not roots:
            return path
        root = max(roots, key=len)
        return f'{_root_name(self.data_roots.index(root))}/{path[len(root) :]}'

    def path_of(self, name: str) -> str:
        """Find the picture of a name that :meth:`name_of` gave, maybe elsewhere."""
        for number, root in enumerate(self.data_roots):
            if name.startswith(f'{_root_name(number)}/'):
                return root + name[len(_root_name(number)) + 1 :]
        return name

    def read_files(self) -> dict[str, dict[str, Any]]:
        """Describe the files for :meth:`changed_files`, as JSON by key. Weights of any size are read whole.

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
        return {key: found[place] for key, place in self.files.items()}

    def changed_files(self, described: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Say which files, each with its key, differ from what :meth:`read_files` described.

        Fingerprints are compared. Large weights, of which these are blocks only, are read whole where their time stamps
        differ.

        Raises:
            ValueError: a checkpoint is not on this machine.
        """
        found = {place: fingerprint(place) for place in dict.fromkeys(self.files.values())}
        changed = [
            f'{place!r} ({key})' for key, place in self.files.items() if found[place] != described[key]['fingerprint']
        ]
        if changed:
            return changed
        weights = {
            (str(path), FileState(**described[key]['weights'][name]))
            for key, place in self.files.items()
            for name, path in large_weights(place).items()
        }
        return [f'{path!r} ({change})' for path, change in sorted(compare_files(weights).changed.items())]


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
            return _root_name(data_roots.index(_as_root(value))) if _as_root(value) in data_roots else value
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


def _root_name(number: int) -> str:
    return f'<data_root {number}>'
