"""Splits of scenes in motion, reproducible from a seed."""

from dataclasses import dataclass, replace

import numpy as np

from flmm.shapes.expressions import Sentence, refer
from flmm.shapes.motion import MovingScene
from flmm.shapes.motion_expressions import VideoSentence, refer_in_video
from flmm.shapes.render import draw_background, finish, paint
from flmm.shapes.sample_motion import VideoConfig, sample_moving_scene

VIDEO_GENERATOR_VERSION = 3  # raise it with any change of what a seed gives
VIDEO_SPLITS = ('train', 'val', 'test')
_IDS_PER_SPLIT = 1_000_000
_STREAM = 15  # of random numbers, beside those of still scenes of the same seed


@dataclass(frozen=True, kw_only=True)
class FrameSentences:
    """What is said of a single frame: each sentence with the index of the shape that it means in the scene."""

    frame: int
    sentences: tuple[tuple[int, Sentence], ...]


@dataclass(frozen=True, kw_only=True)
class VideoSample:
    """One drawn scene in motion.

    Args:
        video_id: unique over all splits.
        video: what was drawn.
        frames: [T, H, W, 3] uint8 RGB.
        masks: [T, num_shapes, H, W] bool, visible pixels; disjoint; empty where a shape is hidden or outside.
        sentences: what is said of the whole video, in random order; several may mean one shape.
        frame_sentences: what is said of one of its frames, drawn by lot, as a picture.
    """

    video_id: str
    video: MovingScene
    frames: np.ndarray
    masks: np.ndarray
    sentences: list[VideoSentence]
    frame_sentences: FrameSentences


def render_video(video: MovingScene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw all frames: frames [T, H, W, 3] uint8 RGB and masks [T, num_shapes, H, W] bool. Noise is new in each."""
    background = draw_background(video.start, rng)
    painted = [paint(scene, background) for scene in video.scenes]
    frames = [finish(image, video.start, rng) for image, _ in painted]
    return np.stack(frames), np.stack([masks for _, masks in painted])


def generate_video(index: int, *, seed: int, split: str, config: VideoConfig) -> VideoSample:
    """Generate one scene in motion; it depends on the arguments alone.

    Raises:
        ValueError: an unknown split, a negative seed, or an index beyond the ids of a split.
    """
    if split not in VIDEO_SPLITS:
        raise ValueError(f'Unknown split {split!r}: choose one of {VIDEO_SPLITS}.')
    if seed < 0:
        raise ValueError(f'seed={seed} is negative: give 0 or more.')
    if not 0 <= index < _IDS_PER_SPLIT:
        raise ValueError(f'index={index}: a split holds {_IDS_PER_SPLIT} videos, counted from 0.')
    split_index = VIDEO_SPLITS.index(split)
    scene_rng, render_rng, refer_rng, frame_rng = np.random.default_rng([seed, split_index, index, _STREAM]).spawn(4)
    video = sample_moving_scene(scene_rng, config)
    frames, masks = render_video(video, render_rng)
    return VideoSample(
        video_id=f'{split_index * _IDS_PER_SPLIT + index + 1:07d}',
        video=video,
        frames=frames,
        masks=masks,
        sentences=refer_in_video(video, masks, refer_rng),
        frame_sentences=_refer_in_a_frame(video, masks, frame_rng),
    )


def _refer_in_a_frame(video: MovingScene, masks: np.ndarray, rng: np.random.Generator) -> FrameSentences:
    """Write sentences as for a picture, in which nobody knows of shapes outside."""
    frame = int(rng.integers(video.num_frames))
    scene = video.scenes[frame]
    inside = [i for i, shape in enumerate(scene.shapes) if not shape.is_outside(scene.height, scene.width)]
    picture = replace(scene, shapes=tuple(scene.shapes[i] for i in inside))
    sentences = [
        (inside[index], sentence)
        for reference in refer(picture, masks[frame, inside], rng)
        for index in reference.shape_indices
        for sentence in reference.sentences
    ]
    return FrameSentences(frame=frame, sentences=tuple(sentences[i] for i in rng.permutation(len(sentences))))
