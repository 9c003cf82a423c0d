"""``config.json`` of a saved grounder: plain JSON with types and settings of the closed list, and where weights lie.

What names weights is an object of one key:

- ``{'hub': 'owner/name', 'revision': commit or null}``: a checkpoint on the hub.
- ``{'folder': 'lmm'}``: a file or folder below that of ``config.json``.
- ``{'elsewhere': 'sam.pth'}``: a file or folder of the machine that saved it; whoever loads it says where it lies now.
"""

import os
import re
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, get_args

from flmm.config import CHECKPOINT_KEYS
from flmm.files import check_file_name
from flmm.grounder.stored_types import OPTIONAL, WEIGHTS
from flmm.json_files import brief
from flmm.pretrained import HUB_NAME
from flmm.registry import MODELS, TRANSFORMS

COMMIT = re.compile('[0-9a-f]{40}')
KINDS = {
    int: 'a whole number',
    float: 'a number',
    bool: 'true or false',
    str: 'text',
    list: 'a list',
    type(None): 'null',
}


def checked_part(
    config: Any, types: Mapping[str, dict[str, Any]], *, key: str, weights: Callable[[Any, str], Any]
) -> dict[str, Any]:
    """Copy the config of a part as plain JSON, and refuse what is not on the list.

    Args:
        config: the part, with its ``type`` by name or as the class.
        types: the types that it may have, each with its settings and their kinds.
        key: dotted, of the part, for messages.
        weights: turns what names weights into what the copy has; it is given the value and its key.

    Raises:
        ValueError: naming the key of a type or setting that is not on the list, or of a value of another kind.
    """
    if not isinstance(config, Mapping):
        raise ValueError(f'{key} is {brief(config)}, expected an object with a type')
    name = _type_name(config.get('type'))
    if name not in types:
        raise ValueError(f'{key}.type is {brief(config.get("type"))}, expected one of {", ".join(sorted(types))}')
    settings = types[name]
    needed = [part for part, kind in settings.items() if kind is WEIGHTS or isinstance(kind, dict)]
    absent = [part for part in needed if part not in config and part not in OPTIONAL]
    if absent:
        raise ValueError(f'{key} lacks {", ".join(absent)}')
    copied = {'type': name}
    for setting, value in config.items():
        where = f'{key}.{setting}'
        if setting == 'type':
            continue
        if setting not in settings:
            raise ValueError(f'{where} is no known setting; {name} has {", ".join(sorted(settings))}')
        kind = settings[setting]
        if kind is WEIGHTS:
            copied[setting] = weights(value, where)
        elif isinstance(kind, dict):
            copied[setting] = checked_part(value, kind, key=where, weights=weights)
        else:
            copied[setting] = _checked_value(value, kind, key=where)
    return copied


def check_weights_name(source: Any, key: str) -> dict[str, Any]:
    """Refuse what is not one of the three ways of naming weights (see the module), and return it.

    Raises:
        ValueError: naming the key, and what is wrong.
    """
    if not isinstance(source, dict) or len(source.keys() - {'revision'}) != 1:
        raise ValueError(f"{key} is {brief(source)}, expected an object with one of 'hub', 'folder' and 'elsewhere'")
    (way,) = source.keys() - {'revision'}
    name, revision = source[way], source.get('revision')
    if way not in ('hub', 'folder', 'elsewhere') or (way != 'hub' and 'revision' in source):
        raise ValueError(f"{key} has {sorted(source)}, expected one of 'hub' (with 'revision'), 'folder', 'elsewhere'")
    if way == 'hub':
        if not isinstance(name, str) or not HUB_NAME.fullmatch(name):
            raise ValueError(f'{key}.hub is {brief(name)}, expected owner/name')
        if revision is not None and not (isinstance(revision, str) and COMMIT.fullmatch(revision)):
            raise ValueError(f'{key}.revision is {brief(revision)}, expected the 40 digits of a commit, or null')
    elif way == 'folder':
        try:
            check_file_name(name)
        except ValueError as error:
            raise ValueError(
                f"{key}.folder is {brief(name)}, expected the name of what lies beside the config, without '..'"
            ) from error
    elif not isinstance(name, str):
        raise ValueError(f'{key}.elsewhere is {brief(name)}, expected the name of a file or folder')
    return source


def _type_name(named: Any) -> Any:
    """Return the name of a type of this package without its scope; anything else as it is, for the message."""
    if isinstance(named, str):
        return named.removeprefix('flmm.')
    name = getattr(named, '__name__', None)
    return name if name and named in (MODELS.get(name), TRANSFORMS.get(name)) else None


def _checked_value(value: Any, kind: type | UnionType, *, key: str) -> Any:
    kinds = get_args(kind) or (kind,)
    if isinstance(value, tuple):
        value = list(value)
    fits = type(value) in kinds or (type(value) is int and float in kinds)
    if not fits:
        expected = ' or '.join(KINDS[each] for each in kinds)
        raise ValueError(f'{key} is {brief(value)}, expected {expected}')
    if isinstance(value, list):
        inner = int | float if key.endswith(']') else int | float | list  # pairs at most, such as those of heads
        return [_checked_value(item, inner, key=f'{key}[{number}]') for number, item in enumerate(value)]
    return value


def with_absolute_paths(config: Any) -> Any:
    """Copy a config with absolute paths of the checkpoints that lie here, so that none looks like a hub name later."""
    if isinstance(config, Mapping):
        return {
            key: os.path.abspath(value)
            if key in CHECKPOINT_KEYS and isinstance(value, (str, os.PathLike)) and os.path.exists(value)
            else with_absolute_paths(value)
            for key, value in config.items()
        }
    return [with_absolute_paths(value) for value in config] if isinstance(config, (list, tuple)) else config
