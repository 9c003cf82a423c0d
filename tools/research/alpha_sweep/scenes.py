"""The scenes of the sweep: the demo's, with the pixel noise as the one thing that differs."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from flmm.atomic_write import write_json
from flmm.shapes import DIFFICULTY, GENERATOR_VERSION, generate_split, write_refcoco

NOISE = {'clean': 0.0, 'noisy': 5.0}
"""Name of the scenes -> standard deviation of their pixel noise in grey levels."""


def write_scenes(root: Path, *, scenes: str, num_images: Mapping[str, int], seed: int) -> None:
    """Write medium scenes in RefCOCO's layout; nothing happens where ``root`` holds them already.

    Noise is drawn last, so the scenes of one seed show the same shapes at any noise.

    Args:
        root: folder to write into.
        scenes: one of :data:`NOISE`.
        num_images: scenes by split.
        seed: 0 or more.

    Raises:
        ValueError: ``root`` holds other scenes.
    """
    parameters = {
        'generator_version': GENERATOR_VERSION,
        'difficulty': 'medium',
        'noise': NOISE[scenes],
        'seed': seed,
        'num_images': dict(num_images),
    }
    parameter_file = root / 'sweep.json'
    if parameter_file.exists():
        present = json.loads(parameter_file.read_text(encoding='utf-8'))
        if present != parameters:
            raise ValueError(
                f'{root} holds scenes of {present}, not of {parameters}; choose another --data-root, or delete it'
            )
        return
    config = replace(DIFFICULTY['medium'], noise=NOISE[scenes])
    write_refcoco(
        root,
        {
            split: generate_split(seed=seed, split=split, num_images=number, config=config)
            for split, number in num_images.items()
        },
    )
    write_json(parameter_file, parameters, indent=2)
