"""Scenes as conversations for the collator, and batches of scenes of similar size."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image
from torch.utils.data import Dataset, Sampler
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from demo_assets.tokenizer import NUM_BINS, X_TOKENS, Y_TOKENS
from flmm.finetune import Conversation
from flmm.shapes import Scene, SceneConfig, describe, refer, render_scene, sample_scene

LOCATE_PROMPT = 'Locate the shapes.'
DESCRIBE_PROMPT = 'Describe the shapes.'
UNIT = 28


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """A phrase of an answer: its text, the shapes it means, its kind, and whether its location follows it."""

    text: str
    shape_indices: tuple[int, ...]
    kind: str
    located: bool


@dataclass(frozen=True, kw_only=True)
class SceneConversation(Conversation):
    """A conversation about a scene.

    Args:
        scene: what is in the picture.
        masks: [num_shapes, H, W] bool, visible pixels.
        covers: [num_shapes, rows, columns] float32, share of every unit that a shape covers.
        parts: the pieces of the answer: phrases, and plain text between them.
    """

    scene: Scene
    masks: np.ndarray
    covers: np.ndarray
    parts: list[Phrase | str]

    def cover(self, phrase: Phrase) -> np.ndarray:
        """Share of every unit that the phrase's shapes cover (their masks are disjoint)."""
        return self.covers[list(phrase.shape_indices)].sum(axis=0)


class SceneConversations(Dataset):
    """An endless set of conversations, each drawn from ``[seed, index]`` alone.

    Two in three answers are referring sentences joined by '.', as the grounding pipeline writes them, each followed by
    its location with probability ``located``; one in six repeats that without locations under another prompt; one in
    six is a caption.

    Args:
        config: how scenes are drawn.
        seed: of the whole set.
        located: share of phrases that are followed by their location.
        captions: False leaves only the first sort of answer, for evaluation.
        max_noise: draws the pixel noise of each scene from 0 to this; None leaves the config's.
    """

    def __init__(
        self,
        config: SceneConfig,
        *,
        seed: int,
        located: float = 0.75,
        captions: bool = True,
        max_noise: float | None = None,
    ) -> None:
        self.config, self.seed, self.located, self.captions = config, seed, located, captions
        self.max_noise = max_noise

    def scene(self, index: int) -> tuple[Scene, np.random.Generator]:
        """Draw the scene of ``index`` without rendering it, and the generator that goes on from there."""
        rng = np.random.default_rng([self.seed, index])
        config = self.config
        if self.max_noise is not None:
            config = replace(config, noise=float(rng.uniform(0, self.max_noise)))
        return sample_scene(rng, config), rng

    def num_units(self, index: int) -> int:
        """How many image tokens the scene of ``index`` takes."""
        scene, _ = self.scene(index)
        return int(np.prod(unit_grid(scene.height, scene.width)))

    def __getitem__(self, index: int) -> SceneConversation:
        """Render scene ``index`` and write its conversation."""
        cv2.setNumThreads(0)
        scene, rng = self.scene(index)
        image, masks = render_scene(scene, rng)
        grid = unit_grid(scene.height, scene.width)
        covers = np.stack([unit_cover(mask, grid) for mask in masks])
        sort = rng.integers(6) if self.captions else 0
        if sort == 5:
            prompt, parts = DESCRIBE_PROMPT, _caption(scene, masks, rng)
        else:
            prompt = DESCRIBE_PROMPT if sort == 4 else LOCATE_PROMPT
            parts = _sentences(scene, masks, rng, located=self.located if sort < 4 else 0.0)
        answer = ''.join(p if isinstance(p, str) else p.text + self._location(p, covers) for p in parts)
        question = [{'type': 'image'}, {'type': 'text', 'text': prompt}]
        return SceneConversation(
            messages=[
                {'role': 'user', 'content': question},
                {'role': 'assistant', 'content': [{'type': 'text', 'text': answer}]},
            ],
            images=[Image.fromarray(image)],
            source=f'scene {index} of seed {self.seed}',
            assistant_tokens=(*X_TOKENS, *Y_TOKENS),
            scene=scene,
            masks=masks,
            covers=covers,
            parts=parts,
        )

    @staticmethod
    def _location(phrase: Phrase, covers: np.ndarray) -> str:
        if not phrase.located:
            return ''
        x, y = cover_centre(covers[list(phrase.shape_indices)].sum(axis=0))
        return X_TOKENS[x] + Y_TOKENS[y]


class SizeBatches(Sampler):
    """Batches of scenes of similar size, each of about ``units`` image tokens; endless, in a fixed order.

    Args:
        dataset: the scenes.
        units: image tokens of a batch.
        start: first scene index.
        pool: scenes that are sorted by size together.
    """

    def __init__(self, dataset: SceneConversations, *, units: int, start: int = 0, pool: int = 256) -> None:
        self.dataset, self.units, self.start, self.pool = dataset, units, start, pool

    def __iter__(self) -> Iterator[list[int]]:
        """Yield lists of scene indices."""
        start = self.start
        while True:
            sizes = {index: self.dataset.num_units(index) for index in range(start, start + self.pool)}
            batches: list[list[int]] = [[]]
            for index in sorted(sizes, key=sizes.__getitem__):
                if (len(batches[-1]) + 1) * sizes[index] > self.units:
                    batches.append([])
                batches[-1].append(index)
            for order in np.random.default_rng(start).permutation(len(batches)):
                if batches[order]:
                    yield batches[order]
            start += self.pool


def unit_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the units that the processor makes of an image."""
    height, width = smart_resize(height, width, factor=UNIT, min_pixels=56 * 56, max_pixels=448 * 448)
    return height // UNIT, width // UNIT


def unit_cover(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Share of every unit that a mask covers, [rows, columns] float32."""
    return cv2.resize(mask.astype(np.float32), (grid[1], grid[0]), interpolation=cv2.INTER_AREA)


def cover_centre(cover: np.ndarray) -> tuple[int, int]:
    """Column and row of the unit that holds the centre of mass, at most NUM_BINS - 1."""
    rows, columns = cover.sum(axis=1), cover.sum(axis=0)
    x = (columns * np.arange(len(columns))).sum() / columns.sum() + 0.5
    y = (rows * np.arange(len(rows))).sum() / rows.sum() + 0.5
    return min(int(x), NUM_BINS - 1), min(int(y), NUM_BINS - 1)


def _sentences(scene: Scene, masks: np.ndarray, rng: np.random.Generator, *, located: float) -> list[Phrase | str]:
    phrases = [
        Phrase(
            text=sentence.text,
            shape_indices=reference.shape_indices,
            kind=sentence.kind,
            located=bool(rng.random() < located),
        )
        for reference in refer(scene, masks, rng)
        for sentence in reference.sentences
    ]
    order = rng.permutation(len(phrases))
    return [part for i in order for part in ('.', phrases[i])][1:]


def _caption(scene: Scene, masks: np.ndarray, rng: np.random.Generator) -> list[Phrase | str]:
    parts: list[Phrase | str] = []
    for segment in describe(scene, masks, panoptic=bool(rng.random() < 0.5)):
        if segment.shape_indices:
            indices = tuple(segment.shape_indices)
            parts.append(Phrase(text=segment.text, shape_indices=indices, kind='caption', located=False))
        else:
            parts.append(segment.text)
    return parts
