"""Scenes of small shapes, and questions with one-word answers about one shape of each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from flmm.shapes import DIFFICULTY, Scene, SceneConfig, render_scene, sample_scene
from flmm.shapes.expressions import referable_shapes

SIDE = 448
"""Height and width of the small shapes' scenes in px."""
PLAIN_SIDE = SIDE // 2
"""At this height and width they are read: 64 tokens."""
SMALL = replace(
    DIFFICULTY['medium'], side_range=(SIDE, SIDE), size_range=(0.07, 0.14), num_shapes=(3, 6), max_overlap=0.0
)
"""Shapes of 31 to 63 px. In the plain reading, 16 to 31 px: one or two units of 28 px."""
ORDINARY = replace(DIFFICULTY['medium'], side_range=(224, SIDE), max_overlap=0.0)
"""The scenes that the demo LMM has learnt from."""
TEMPLATES = {'kind': 'What kind of shape is {about}?', 'colour': 'What colour is {about}?'}


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question about one shape.

    Args:
        topic: 'kind' or 'colour', what is asked for.
        about: words for the shape, true of no other: by its colour if its kind is asked for, by its kind if its colour.
        answer: one word.
        index: of the shape in its scene.
    """

    topic: str
    about: str
    answer: str
    index: int

    @property
    def text(self) -> str:
        """What the LMM is asked."""
        return TEMPLATES[self.topic].format(about=self.about)


@dataclass(frozen=True, kw_only=True)
class AskedScene:
    """A drawn scene and all questions that its shapes allow, in random order.

    Args:
        scene: what is in the picture.
        image: RGB.
        masks: [num_shapes, H, W] bool, visible pixels.
        questions: at least one.
    """

    scene: Scene
    image: Image.Image
    masks: np.ndarray
    questions: list[Question]


def draw_scene(rng: np.random.Generator, config: SceneConfig) -> AskedScene:
    """Draw scenes until one has a shape to ask about: one that shares its colour, or its kind, with no other."""
    while True:
        scene = sample_scene(rng, config)
        image, masks = render_scene(scene, rng)
        questions = list(_questions(scene, masks))
        if questions:
            order = rng.permutation(len(questions))
            return AskedScene(
                scene=scene, image=Image.fromarray(image), masks=masks, questions=[questions[i] for i in order]
            )


def _questions(scene: Scene, masks: np.ndarray) -> Iterator[Question]:
    for index in np.flatnonzero(referable_shapes(scene, masks)).tolist():
        shape = scene.shapes[index]
        if sum(other.colour == shape.colour for other in scene.shapes) == 1:
            yield Question(topic='kind', about=f'the {shape.colour} shape', answer=shape.kind, index=index)
        if sum(other.kind == shape.kind for other in scene.shapes) == 1:
            yield Question(topic='colour', about=f'the {shape.kind}', answer=shape.colour, index=index)
