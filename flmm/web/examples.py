"""Pictures to begin with: drawn scenes, made when the page starts, with phrases that the demo's weights find."""

from dataclasses import dataclass

from PIL import Image

from flmm.shapes import DIFFICULTY, generate_sample

SEED = 2026
SCENES = (59, 22, 46)


@dataclass(kw_only=True, frozen=True)
class Example:
    """An image, RGB, and phrases of it."""

    image: Image.Image
    phrases: list[str]


def examples() -> list[Example]:
    """Draw the scenes, and take the longest sentence for each shape that can be referred to."""
    found = []
    for index in SCENES:
        scene = generate_sample(index, seed=SEED, split='val', config=DIFFICULTY['medium'])
        phrases = [max((each.text for each in reference.sentences), key=len) for reference in scene.references]
        found.append(Example(image=Image.fromarray(scene.image), phrases=phrases))
    return found
