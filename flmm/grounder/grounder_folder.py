"""The folder of a saved grounder, as a stranger may have made it: read as plain data, nothing outside of it.

- ``config.json``: what to build (:mod:`flmm.grounder.stored_config`) and over which frozen parts.
- ``model.safetensors``: the trained part alone; absent where nothing is trained.
- ``README.md``: the model card.
- ``lmm`` and ``sam.safetensors``: the frozen parts, where the folder brings them along.
"""

from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

import flmm
from flmm.files import path_inside
from flmm.grounder.stored_config import check_weights_name, checked_part
from flmm.grounder.stored_types import model_types, to_sample_types
from flmm.json_files import brief, read_json
from flmm.pretrained import checkpoint_source

FORMAT_VERSION = 1
CONFIG, TRAINED, LMM, SAM = 'config.json', 'model.safetensors', 'lmm', 'sam.safetensors'
KEYS = ('format_version', 'flmm_version', 'model', 'to_sample', 'frozen_parts')
PLAIN_FILES = ('*.json', '*.safetensors', '*.jinja', '*.txt', '*.model')
"""What is fetched from the hub: weights, settings and vocabularies; no code and no pickles."""


def find_folder(name_or_path: str | Path, *, revision: str | None, **download: Any) -> Path:
    """Find the folder of a grounder, or fetch it from the hub.

    Args:
        name_or_path: a folder, or else a name on the hub.
        revision: branch, tag or commit on the hub; None takes the main branch.
        **download: ``snapshot_download``'s.

    Raises:
        ValueError: no such folder or name, or a revision of a folder.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        raise ValueError(f'{str(name_or_path)!r} is a file, expected the folder of a grounder, or a name on the hub')
    if not path.is_dir():
        return fetch(checkpoint_source(name_or_path, needs=()), revision=revision, **download)
    if revision is not None:
        raise ValueError(f'revision is {revision!r}, but {str(name_or_path)!r} is a folder here; leave it out')
    return path.absolute()


def fetch(name: str, *, revision: str | None, **download: Any) -> Path:
    """Fetch what is plain data of a repository on the hub, unless it is in the cache already.

    Raises:
        ValueError: the hub does not give it.
    """
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(PLAIN_FILES), **download))
    except (OSError, ValueError) as error:
        at = '' if revision is None else f' at revision {revision!r}'
        raise ValueError(
            f'{name!r} is no folder here, and the hub could not give it{at} ({error}); check the name and the '
            'connection, or give a folder'
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """Read and check ``config.json``; nothing that it names is opened.

    Raises:
        ValueError: naming the file, the key and what is wrong with it.
    """
    path = existing(folder, CONFIG)
    document = read_json(str(path), setting='the config of a grounder')
    if not isinstance(document, dict):
        raise ValueError(f'{str(path)!r} holds {brief(document)}, expected an object')
    version = document.get('format_version')
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise ValueError(
            f'{str(path)!r} has format_version {brief(version)}, and flmm {flmm.__version__} reads {FORMAT_VERSION}; '
            'expected a grounder that save_pretrained wrote, maybe with another version of flmm'
        )
    if document.keys() != set(KEYS):
        raise ValueError(f'{str(path)!r} has the keys {sorted(document)}, expected {sorted(KEYS)}; save it again')
    parts = document['frozen_parts']
    if not isinstance(parts, dict) or not all(isinstance(value, str) for value in parts.values()):
        raise ValueError(f'{str(path)!r}: frozen_parts is {brief(parts)}, expected an object of texts; save it again')
    try:
        for part, types in (('model', model_types()), ('to_sample', to_sample_types())):
            document[part] = checked_part(document[part], types, key=part, weights=check_weights_name)
    except ValueError as error:
        raise ValueError(
            f'{str(path)!r}: {error}. It was saved by flmm {brief(document["flmm_version"])}, this is '
            f'{flmm.__version__}'
        ) from error
    return document


def existing(folder: Path, name: str) -> Path:
    """Return the path of a file or folder that a grounder's folder has, all of it regular files inside.

    Links may lead to other files of the cache, as the hub's own do, but not out of folder or cache.

    Raises:
        ValueError: it does not exist, leads out, or has something that is no regular file.
    """
    root = folder
    if folder.parent.name == 'snapshots' and folder.parents[1].name.startswith('models--'):
        root = folder.parents[1]  # the cache of the hub keeps contents beside its snapshots
    path = folder / name
    if not path.exists():
        raise ValueError(f'{str(folder)!r} has no {name}; expected the folder of a grounder that save_pretrained wrote')
    for file in [path, *path.rglob('*')]:
        try:
            path_inside(root, str(file.relative_to(root)))
        except ValueError as error:
            raise ValueError(f'{str(file)!r} leads out of {str(folder)!r}; put the file itself there') from error
        if not (file.is_file() or file.is_dir()):
            raise ValueError(f'{str(file)!r} is no regular file; remove it')
    return path


def find_weights(source: Any, key: str, *, folder: Path, **download: Any) -> str:
    """Return the path of weights that a config names, or that the caller did.

    Args:
        source: one of the ways of :mod:`flmm.grounder.stored_config`, or the caller's path or name.
        key: dotted, where it stands in the config.
        folder: that of the config.
        **download: ``snapshot_download``'s.

    Raises:
        ValueError: it is not in the folder, the hub does not give it, or only the caller can say where it is.
    """
    if isinstance(source, str):
        return source
    if 'folder' in source:
        return str(existing(folder, source['folder']))
    if 'hub' in source:
        return str(fetch(source['hub'], revision=source.get('revision'), **download))
    argument = 'sam_checkpoint' if key.startswith('model.sam.') else 'lmm'
    raise ValueError(
        f'{str(folder / CONFIG)!r} has {source["elsewhere"]!r} for {key}, a place on the machine that saved it; say '
        f"where it lies here: from_pretrained(..., {argument}='...')"
    )
