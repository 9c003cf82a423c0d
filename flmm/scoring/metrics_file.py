"""Metrics as a JSON file, whatever their values are."""

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flmm.atomic_write import write_json


def write_metrics(metrics: Mapping[str, Any], path: str | Path) -> None:
    """Write metrics as JSON that every parser reads: arrays as lists, a figure that is not defined (nan) as null.

    Raises:
        ValueError: values that JSON cannot hold; the message names their keys. All others are written before.
    """
    converted = {str(key): to_json(value) for key, value in metrics.items()}
    document = {key: plain for key, (plain, problem) in converted.items() if problem is None}
    write_json(path, document, indent=2)
    problems = [f'{key!r} {problem}' for key, (_, problem) in converted.items() if problem is not None]
    if problems:
        raise ValueError(
            f'{str(path)!r} holds all metrics but those that JSON cannot hold: {"; ".join(problems)}; let the metric '
            'return numbers, strings, or lists and dicts of them'
        )


def to_json(value: Any) -> tuple[Any, str | None]:
    """Turn a value into what JSON can hold, numpy's and torch's included; nan becomes None.

    Returns:
        The plain value and None, or None and a few words that say why there is none.
    """
    torch = sys.modules.get('torch')  # not imported for files of figures: where it is not, no value is a tensor
    if torch is not None and isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_meta:
            return None, f'is a tensor of layout {value.layout} on device {value.device}'
        value = value.detach().cpu().tolist()
    elif isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, (str, bool, int)):
        return value, None
    if isinstance(value, float):
        return (None, f'is {value}') if math.isinf(value) else (None if math.isnan(value) else float(value), None)
    if isinstance(value, Mapping):
        pairs = {str(key): to_json(item) for key, item in value.items()}
    elif isinstance(value, (list, tuple)):
        pairs = dict(enumerate(map(to_json, value)))
    else:
        return None, f'is a {type(value).__name__}'
    problem = next((f'[{key!r}] {problem}' for key, (_, problem) in pairs.items() if problem is not None), None)
    if problem is not None:
        return None, problem
    plain = {key: item for key, (item, _) in pairs.items()}
    return (plain if isinstance(value, Mapping) else list(plain.values())), None
