"""Conversations to fine-tune the demo LMM on: it learns to answer questions, and keeps what it could do before."""

from dataclasses import replace

import cv2
import numpy as np
import torch
from demo_assets.conversations import SceneConversations
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from closer_look.questions import ORDINARY, SIDE, AskedScene, Question, draw_scene
from flmm.finetune import ChatCollator, Conversation
from flmm.grounder.region import WHICH_OBJECT
from flmm.shapes import DIFFICULTY

SIDES = (224, 224, 224, 280, 336, 448)
"""Sides in px of the largest square that a batch is read at."""
SHARES = {'locate': 0.1, 'image': 0.45, 'crop': 0.2, 'image_and_crop': 0.25}
"""What a conversation shows: what the LMM was pre-trained on, or a scene, the region of a shape, or both."""
WRONG_CROPS = 0.25
"""Share of the crops beside their scene that may show another shape than the question is about."""
MAX_TURNS = 4


class QuestionConversations(Dataset):
    """Conversations, each drawn from ``[seed, index]`` alone.

    Scenes are of all sizes of shapes, from those of the measurement to those of the pre-training.

    Args:
        seed: of the whole set.
        length: how many there are.
    """

    def __init__(self, *, seed: int, length: int) -> None:
        self.seed, self.length = seed, length
        self.locate = SceneConversations(DIFFICULTY['medium'], seed=seed, max_noise=6.0)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Conversation:
        """Draw conversation ``index``."""
        cv2.setNumThreads(0)
        rng = np.random.default_rng([self.seed, index])
        shown = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        if shown == 'locate':
            found = self.locate[index]
            return Conversation(
                messages=found.messages,
                images=found.images,
                source=found.source,
                assistant_tokens=found.assistant_tokens,
            )
        smallest = float(np.exp(rng.uniform(np.log(0.07), np.log(0.3))))
        config = replace(
            ORDINARY,
            side_range=(336, SIDE) if smallest < 0.15 else ORDINARY.side_range,
            size_range=(smallest, 1.5 * smallest),
            noise=float(rng.uniform(0, 3)),
        )
        scene = draw_scene(rng, config)
        shape = scene.questions[0].index
        questions = scene.questions if shown == 'image' else [q for q in scene.questions if q.index == shape]
        if shown == 'image_and_crop' and rng.random() < WRONG_CROPS:
            shape = int(rng.integers(len(scene.scene.shapes)))
        crop = _crop(scene, shape, rng)
        images = {'image': [scene.image], 'crop': [crop], 'image_and_crop': [scene.image, crop]}[shown]
        return Conversation(
            messages=_messages(questions[:MAX_TURNS], rng, num_images=len(images), which=shown == 'image'),
            images=images,
            source=f'scene {index} of seed {self.seed}',
        )


def _messages(questions: list[Question], rng: np.random.Generator, *, num_images: int, which: bool) -> list[dict]:
    messages = []
    for question in questions:
        if which and rng.random() < 0.2:
            asked, answer = WHICH_OBJECT.format(question=question.text), question.about
        else:
            asked, answer = question.text, question.answer
        messages += [
            {'role': 'user', 'content': [{'type': 'text', 'text': asked}]},
            {'role': 'assistant', 'content': [{'type': 'text', 'text': answer}]},
        ]
    messages[0]['content'] = [{'type': 'image'}] * num_images + messages[0]['content']
    return messages


def _crop(scene: AskedScene, index: int, rng: np.random.Generator) -> Image.Image:
    """The box of a shape with a margin, off by some px, as grounding would find it, enlarged up to four times."""
    box = np.array(scene.scene.shapes[index].box)
    side = max(box[2] - box[0], box[3] - box[1], 28)
    centre = (box[:2] + box[2:]) / 2 + rng.uniform(-0.15, 0.15, size=2) * side
    half = side * rng.uniform(0.6, 1.2)
    width, height = scene.image.size
    left, top = np.maximum(centre - half, 0).astype(int).tolist()
    right, bottom = np.minimum(centre + half, (width, height)).astype(int).tolist()
    crop = scene.image.crop((left, top, right, bottom))
    factor = rng.uniform(1, 4) * min(1, 448 / max(crop.size) / 4)
    return crop.resize([max(28, round(length * max(factor, 1))) for length in crop.size], Image.Resampling.BICUBIC)


class QuestionCollator(ChatCollator):
    """Reads each batch at a size of its own, every second one pruned to a budget of 10 to 90 % by a random measure."""

    def __call__(self, conversations: list[Conversation]) -> dict[str, Tensor]:
        """Collate; see the class."""
        rng = np.random.default_rng(list(conversations[0].source.encode()))
        images = self.processor.image_processor
        images.size = {'shortest_edge': 56 * 56, 'longest_edge': int(rng.choice(SIDES)) ** 2}
        images.patch_selection_method = 'budget' if rng.random() < 0.5 else 'none'
        images.alpha = float(np.exp(rng.uniform(np.log(0.1), np.log(0.9))))
        images.method, images.blur = [('entropy', 1), ('laplacian', 1), ('laplacian', 5)][rng.integers(3)]
        with torch.no_grad():
            return super().__call__(conversations)
