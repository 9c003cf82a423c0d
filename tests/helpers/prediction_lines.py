"""Lines of prediction and truth files, and files of them, for tests."""

import json

import numpy as np

from flmm.rle import encode_masks


def rle(mask):
    """The RLE of a mask [H, W], or of a random one of a (height, width, seed)."""
    if isinstance(mask, tuple):
        height, width, seed = mask
        mask = np.random.default_rng(seed).random((height, width)) < 0.4
    return encode_masks(np.asarray(mask, dtype=bool)[None])[0]


def write_lines(path, lines):
    """Write one JSON object a line; strings and bytes are written as they are. Returns the path."""
    encoded = [
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    ]
    path.write_bytes(b''.join(line + b'\n' for line in encoded))
    return path


def read_lines(path):
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]


def flat_scores(path):
    """What ``tools/score.py --json`` wrote, under the keys of metrics.json."""
    found = {}
    for name, own in json.loads(path.read_text(encoding='utf-8')).items():
        found |= {f'{name}/coarse/{key}': value for key, value in own.pop('coarse').items()}
        found |= {f'{name}/refined/{key}': value for key, value in own.items()}
    return found
