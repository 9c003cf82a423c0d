"""Small scenes, each with one request for a shape, as tools/finetune_lmm.py and tools/reinforce_lmm.py read them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from demo_assets.conversations import cover_centre, unit_cover, unit_grid
from demo_assets.tokenizer import X_TOKENS, Y_TOKENS
from PIL import Image

from flmm.atomic_write import open_atomic, write_text
from flmm.rle import encode_masks
from flmm.shapes import DIFFICULTY, refer, render_scene, sample_scene

SCENES = replace(DIFFICULTY['easy'], side_range=(140, 168), num_shapes=(2, 4))
"""25 to 36 image tokens."""
LOCATION_TOKENS = (*X_TOKENS, *Y_TOKENS)


def write_scenes(folder: Path, *, seed: int, number: int) -> Path:
    """Draw scenes, and write pictures and ``conversations.jsonl``; nothing happens where that exists.

    The user asks for one shape by a sentence of any kind; the assistant says its colour and kind, and where it is. The
    truth has the mask.

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
    lines, index = [], 0
    while len(lines) < number:
        name = f'images/{len(lines):05}.png'
        record, image = _conversation(np.random.default_rng([seed, index]), name)
        index += 1
        if record is not None:
            with open_atomic(folder / name) as picture:
                image.save(picture, format='PNG')
            lines.append(json.dumps(record))
    write_text(file, '\n'.join(lines) + '\n')
    return file


def _conversation(rng: np.random.Generator, name: str) -> tuple[dict[str, Any] | None, Image.Image]:
    """Draw a scene and what is said of it; None of one without a shape that colour and kind tell from the others."""
    scene = sample_scene(rng, SCENES)
    pixels, masks = render_scene(scene, rng)
    image = Image.fromarray(pixels)
    looks = [(shape.colour, shape.kind) for shape in scene.shapes]
    asked = [
        (reference.shape_indices[0], sentence.text)
        for reference in refer(scene, masks, rng)
        for sentence in reference.sentences
        if looks.count(looks[reference.shape_indices[0]]) == 1
    ]
    if not asked:
        return None, image
    shape, text = asked[rng.integers(len(asked))]
    x, y = cover_centre(unit_cover(masks[shape], unit_grid(scene.height, scene.width)))
    question = [{'type': 'image', 'image': name}, {'type': 'text', 'text': f'Locate {text}.'}]
    answer = f'the {" ".join(looks[shape])}{X_TOKENS[x]}{Y_TOKENS[y]}'
    messages = [{'role': 'user', 'content': question}, {'role': 'assistant', 'content': answer}]
    return {'messages': messages, 'truth': {'masks': encode_masks(masks[[shape]])}}, image
