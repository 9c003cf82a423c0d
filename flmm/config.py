"""Configs as mmengine reads them, with what it would accept in silence refused: misspelt keys, and code in YAML."""

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import IO, Any

import yaml
from mmengine.config import Config
from mmengine.fileio import YamlHandler, register_handler
from mmengine.runner import Runner

# What Runner reads from a config beside its own arguments.
OTHER_KEYS = (
    'activation_checkpointing',
    'compile',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'sync_bn',
)
KNOWN_KEYS = (*inspect.signature(Runner.__init__).parameters, *OTHER_KEYS)
"""Every top-level key that mmengine knows."""
CHECKPOINT_KEYS = ('name_or_path', 'pretrained_model_name_or_path', 'checkpoint', 'trained_masks')
"""Keys of a config whose values name a checkpoint, at any depth."""


@register_handler(['yaml', 'yml'])
class PlainYamlHandler(YamlHandler):
    """Reads YAML as values alone; mmengine's own makes any object that a tag (!!python/...) names."""

    def load_from_fileobj(self, file: IO[str], **kwargs: Any) -> Any:
        """Read a file, wherever mmengine reads one: a config, the files it is based on, their copies."""
        return super().load_from_fileobj(file, **kwargs, Loader=yaml.SafeLoader)


def read_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a config file. Its code runs (docs/security.md), so it must come from somebody you trust.

    Paths of checkpoints are found from any working directory (:func:`find_checkpoints`).

    Args:
        path: a .py, .json or .yaml file.
        overrides: dotted keys and their new values, as ``--cfg-options`` gives them. A key must exist in the config,
            below one that mmengine's Runner reads, or be one of these; ``+key`` adds one that does not exist. Neither
            may lie in a variable, of which the rest of the config was made when the file was read.

    Raises:
        ValueError: the file does not exist, or has YAML tags; a key looks misspelt; an override names no key or a mere
            variable, or has a value that cannot stand there.
    """
    if not Path(path).is_file():
        raise ValueError(f'config {str(path)!r} does not exist')
    try:
        config = Config.fromfile(str(path))
    except yaml.YAMLError as error:
        raise ValueError(
            f'config {str(path)!r}, or one that it is based on, is no plain YAML ({error}); write values without tags '
            '(!!)'
        ) from error
    overrides = dict(overrides or {})
    for key in overrides:
        if not key.startswith('+'):
            _check_exists(config, key)
        _check_is_no_variable(config, key)
    try:
        config.merge_from_dict({key.removeprefix('+'): value for key, value in overrides.items()})
    except (KeyError, TypeError) as error:
        raise ValueError(f'overrides {list(overrides)} do not fit the config: {error.args[0]}') from error
    check_config_keys(config)
    find_checkpoints(config, path)
    return config


def check_config_keys(keys: Iterable[str]) -> None:
    """Refuse top-level keys that look like a misspelt key of mmengine's Runner.

    A config may define variables of its own; only near misses are refused.

    Raises:
        ValueError: naming each such key and the key it was probably meant to be.
    """
    misspelt = {key: difflib.get_close_matches(key, KNOWN_KEYS, n=1, cutoff=0.85) for key in keys}
    messages = [
        f'{key!r} (did you mean {matches[0]!r}?)'
        for key, matches in misspelt.items()
        if matches and key not in KNOWN_KEYS
    ]
    if messages:
        raise ValueError(f'unknown config key {", ".join(messages)}; rename it, as it would have no effect')


def _check_exists(config: Config, key: str) -> None:
    """Raise a ValueError if ``key`` names nothing in ``config``."""
    node: Any = dict(config.items())
    known = {**dict.fromkeys(KNOWN_KEYS), **node}
    parts = key.split('.')
    for depth, part in enumerate(parts):
        if isinstance(node, Mapping):
            children = known if depth == 0 else node
        else:
            children = (
                {str(index): child for index, child in enumerate(node)} if isinstance(node, (list, tuple)) else {}
            )
        if part not in children:
            before = '.'.join(parts[:depth])
            nearest = difflib.get_close_matches(part, children, n=1, cutoff=0.7)
            nearest = [f'{before}.{name}' if before else name for name in nearest]
            nearest += [other for other in _all_keys(config) if other.rpartition('.')[2] == parts[-1]]
            hint = f' (did you mean {nearest[0]!r}?)' if nearest else ''
            raise ValueError(
                f'override {key!r}: the config has no {".".join(parts[: depth + 1])!r}{hint}, so it would have no '
                f'effect; a new key is added by +{key}=...'
            )
        node = children[part]


def _check_is_no_variable(config: Config, key: str) -> None:
    """Raise a ValueError if ``key``, maybe with a '+', lies in a variable that the Runner does not read."""
    name, *below = key.removeprefix('+').split('.')
    if name in KNOWN_KEYS or name not in config:
        return
    # Where the rest of the config has what the variable was put into: under its name, or by what it holds alone. The
    # last part of a key that is added is nowhere yet.
    added = below[-1:] if key.startswith('+') else []
    sought = [name, *below[: len(below) - len(added)]]
    known = [other for other in _all_keys(config) if other.split('.')[0] in KNOWN_KEYS]
    used: list[str] = []
    while sought and not sought[0].isdigit() and not used:
        used = [other for other in known if f'.{other}'.endswith('.' + '.'.join(sought))]
        del sought[0]
    sign = '+' if added else ''
    where = ', '.join(sign + '.'.join([other, *added]) for other in used[:3]) or 'what is made of it'
    raise ValueError(
        f'override {key!r}: {name!r} is a variable of the config, of which the rest is made already, so it would have '
        f'no effect; override {where}'
    )


def _all_keys(node: Any, prefix: str = '') -> Iterator[str]:
    if isinstance(node, (Mapping, Config)):
        items = node.items()
    elif isinstance(node, Sequence) and not isinstance(node, str):
        items = enumerate(node)
    else:
        return
    for key, value in items:
        yield f'{prefix}{key}'
        yield from _all_keys(value, f'{prefix}{key}.')


def find_checkpoints(config: Config, path: str | Path) -> None:
    """Make relative paths of checkpoints in ``config`` absolute, where they lie in a folder above the config file.

    A config names them relative to the repository, the folder that holds ``configs``; one that exists in the working
    directory is left as it is. One that exists nowhere, but begins with a folder of the repository, is a path that is
    misspelt: it becomes absolute too, so that nobody takes it for a name on the hub.

    Args:
        config: changed in place.
        path: where it was read from.
    """
    above = Path(path).resolve().parents
    repository = next((folder.parent for folder in above if folder.name == 'configs'), None)
    for mapping in mappings_in(dict(config.items())):
        for key in CHECKPOINT_KEYS:
            name = mapping.get(key)
            if not isinstance(name, str) or Path(name).exists():
                continue
            found = next((folder / name for folder in above if (folder / name).exists()), None)
            if found is None and repository is not None and (repository / Path(name).parts[0]).exists():
                found = repository / name
            mapping[key] = name if found is None else str(found)


def mappings_in(config: Any) -> Iterator[MutableMapping[str, Any]]:
    """Go through a config and all that are nested in it, outer before inner."""
    if isinstance(config, MutableMapping):
        yield config
        config = list(config.values())
    if isinstance(config, Sequence) and not isinstance(config, str):
        for value in config:
            yield from mappings_in(value)
