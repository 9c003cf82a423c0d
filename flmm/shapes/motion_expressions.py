"""Referring expressions for scenes in motion, unambiguous over the whole video by construction.

A sentence is emitted only if it means exactly its shape in the video: what it says of colour, kind, size and place
holds in every frame, and what it says of motion over all of them. Every shape counts as a rival, also where it is
hidden or outside of the picture, and what is not clear resolves to nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from flmm.shapes.expressions import (
    EXPRESSION_KINDS,
    Expression,
    candidates_of,
    noun_phrase,
    nouns_of,
    referable_shapes,
    resolve,
    word,
)
from flmm.shapes.motion import DIRECTIONS, MovingScene
from flmm.shapes.sample_motion import MIN_REST

MOTIONS: Mapping[str, str] = MappingProxyType(
    {
        **{direction: f'moves {direction}' for direction in DIRECTIONS},
        'still': 'stands still',
        'stops': 'stops',
        'starts': 'starts to move',
        'leaves': 'leaves',
        'enters': 'enters',
    }
)
"""What is said of a motion -> its words behind 'that'."""
MOTION_KINDS = ('motion:moves', 'motion:still', 'motion:stops', 'motion:starts', 'motion:leaves', 'motion:enters')
MIN_SEEN = 0.25
"""Share of the frames in which a shape must be visible enough to be referred to."""


@dataclass(frozen=True, kw_only=True)
class MotionExpression:
    """Attributes, and what is said of the motion: one of :data:`MOTIONS`.

    >>> MotionExpression(noun=Expression(colour='red', kind='circle'), motion='left').kind
    'motion:moves'
    """

    noun: Expression = field(default_factory=Expression)
    motion: str

    @property
    def kind(self) -> str:
        """One of :data:`MOTION_KINDS`."""
        return f'motion:{"moves" if self.motion in DIRECTIONS else self.motion}'


@dataclass(frozen=True, kw_only=True)
class VideoSentence:
    """A sentence about one shape of a video.

    Args:
        shape_index: index of the shape in the scene.
        text: lower case, no punctuation.
        kind: of :data:`EXPRESSION_KINDS` or :data:`MOTION_KINDS`.
        expression: what it means.
    """

    shape_index: int
    text: str
    kind: str
    expression: Expression | MotionExpression


def resolve_motion(expression: MotionExpression, video: MovingScene) -> list[int]:
    """Find the shapes that an expression means; one unclear motion among them gives an empty list."""
    verdicts = {index: moves_so(expression.motion, index, video) for index in resolve(expression.noun, video.start)}
    return [] if None in verdicts.values() else [index for index, holds in verdicts.items() if holds]


def moves_so(said: str, index: int, video: MovingScene) -> bool | None:
    """Tell whether what is said of a motion holds for a shape; None where a viewer could see it either way."""
    motion, end = video.motions[index], video.num_frames - 1
    if said in DIRECTIONS:
        return motion.direction == said
    place = [_place(index, frame, video) for frame in range(video.num_frames)]
    if said in ('leaves', 'enters'):
        before, after = (place[0], place[end]) if said == 'leaves' else (place[end], place[0])
        return None if 'edge' in (before, after) else (before, after) == ('inside', 'outside')
    if motion.direction is None:
        return said == 'still'
    # Steps at rest in the picture, before and after: outside of it nobody sees the rest.
    rest_before = motion.first if place[motion.first] != 'outside' else 0
    rest_after = end - motion.last if place[motion.last] != 'outside' else 0
    if said == 'still':
        return None if rest_before or rest_after else False
    rest = rest_after if said == 'stops' else rest_before
    return rest >= MIN_REST if rest >= MIN_REST or not rest else None


def refer_in_video(video: MovingScene, masks: np.ndarray, rng: np.random.Generator) -> list[VideoSentence]:
    """Write sentences for every shape that is seen enough: up to two of still kinds and up to two of motion.

    What is said of motion is needed: without it, the words mean several shapes, of which others move otherwise.

    Args:
        video: the scene in motion.
        masks: [T, num_shapes, H, W] bool, visible pixels.
        rng: chooses among the true sentences and their wordings.
    """
    seen = np.stack([referable_shapes(scene, each) for scene, each in zip(video.scenes, masks, strict=True)])
    is_seen = seen.mean(axis=0) >= MIN_SEEN  # [num_shapes]
    # A place, or a size to compare with, is only clear of what is in the picture all the time.
    stays = is_seen & [
        all(_place(index, frame, video) == 'inside' for frame in (0, video.num_frames - 1))
        for index in range(len(video.motions))
    ]
    sentences = []
    for index in np.flatnonzero(is_seen).tolist():
        found = [(kind, _still(kind, index, video, stays, rng)) for kind in EXPRESSION_KINDS]
        still = [(kind, expression) for kind, expression in found if expression is not None]
        rng.shuffle(still)
        sentences += [
            VideoSentence(shape_index=index, text=word(expression, rng), kind=kind, expression=expression)
            for kind, expression in still[:2]
        ]
        moving = _motion_candidates(index, video)
        rng.shuffle(moving)
        chosen: dict[str, MotionExpression] = {}
        for expression in moving:
            chosen.setdefault(expression.motion, expression)
        sentences += [
            VideoSentence(shape_index=index, text=word_motion(each, rng), kind=each.kind, expression=each)
            for each in list(chosen.values())[:2]
        ]
    return [sentences[i] for i in rng.permutation(len(sentences))]


def word_motion(expression: MotionExpression, rng: np.random.Generator) -> str:
    """Word it, with or without 'the'."""
    text = f'{noun_phrase(expression.noun)} that {MOTIONS[expression.motion]}'
    return text if rng.random() < 0.5 else f'the {text}'


def _still(kind: str, index: int, video: MovingScene, stays: np.ndarray, rng: np.random.Generator) -> Expression | None:
    """Find an expression that means the shape alone in every frame."""
    if kind in ('size', 'position', 'comparison') and not stays[index]:
        return None
    candidates = list(candidates_of(kind, index, video.start, stays))
    rng.shuffle(candidates)
    return next((each for each in candidates if all(resolve(each, scene) == [index] for scene in video.scenes)), None)


def _motion_candidates(index: int, video: MovingScene) -> list[MotionExpression]:
    """List what tells the shape from others by its motion; the more its attributes say, the more often it is listed."""
    found = []
    for noun in nouns_of(video.start.shapes[index]):
        if len(resolve(noun, video.start)) < 2:
            continue
        weight = 1 + 2 * (noun.colour is not None) + 2 * (noun.kind is not None)
        expressions = [MotionExpression(noun=noun, motion=motion) for motion in MOTIONS]
        found += [each for each in expressions if resolve_motion(each, video) == [index]] * weight
    return found


def _place(index: int, frame: int, video: MovingScene) -> str:
    """Where a shape is in a frame: 'inside' as a whole, 'outside', or cut by the 'edge'."""
    shape = video.scenes[frame].shapes[index]
    height, width = video.start.height, video.start.width
    if shape.is_outside(height, width):
        return 'outside'
    left, top, right, bottom = shape.box
    return 'inside' if left >= 0 and top >= 0 and right <= width and bottom <= height else 'edge'
