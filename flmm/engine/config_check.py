"""mmengine ignores top-level config keys that it does not know: a misspelt one would silently lose its effect."""

import difflib
import inspect
from collections.abc import Iterable

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
