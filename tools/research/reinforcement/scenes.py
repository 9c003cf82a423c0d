"""Small scenes of two or three shapes, as tools/finetune_lmm.py and tools/reinforce_lmm.py read them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from demo_assets.conversations import LOCATE_PROMPT, cover_centre, unit_cover, unit_grid
from demo_assets.tokenizer import X_TOKENS, Y_TOKENS
from PIL import Image

from flmm.atomic_write import open_atomic, write_text
from flmm.rle import encode_masks
from flmm.shapes import DIFFICULTY, render_scene, sample_scene

SCENES = replace(DIFFICULTY['easy'], side_range=(140, 168), num_shapes=(2, 3))
"""25 to 36 image tokens."""
LOCATION_TOKENS = (*X_TOKENS, *Y_TOKENS)


def write_scenes(folder: Path, *, seed: int, number: int) -> Path:
    """Draw scenes, and write pictures and ``conversations.jsonl``; nothing happens where that exists.

    The user asks for the shapes, as in the LMM's pre-training; the assistant says of each, once, its colour and kind,
    and where it is. The truth has their masks.

    Args:
        folder: gets all of it.
        seed: of all scenes.
        number: how many.
    """
    file = folder / 'conversations.jsonl'
    if file.exists():
        return file
    cv2.setNumThreads(0)
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(number):
        name = f'images/{index:05}.png'
        record, image = _conversation(np.random.default_rng([seed, index]), name)
        with open_atomic(folder / name) as picture:
            image.save(picture, format='PNG')
        lines.append(json.dumps(record))
    write_text(file, '\n'.join(lines) + '\n')
    return file


def _conversation(rng: np.random.Generator, name: str) -> tuple[dict[str, Any], Image.Image]:
    """Draw a scene and what is said of it: every shape once, in random order."""
    scene = sample_scene(rng, SCENES)
    pixels, masks = render_scene(scene, rng)
    grid = unit_grid(scene.height, scene.width)
    places = [cover_centre(unit_cover(mask, grid)) for mask in masks]
    answer = '.'.join(
        f'the {scene.shapes[i].colour} {scene.shapes[i].kind}{X_TOKENS[places[i][0]]}{Y_TOKENS[places[i][1]]}'
        for i in rng.permutation(len(masks))
    )
    question = [{'type': 'image', 'image': name}, {'type': 'text', 'text': LOCATE_PROMPT}]
    messages = [{'role': 'user', 'content': question}, {'role': 'assistant', 'content': answer}]
    return {'messages': messages, 'truth': {'masks': encode_masks(masks)}}, Image.fromarray(pixels)
