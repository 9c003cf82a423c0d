"""Conversations about scenes in motion, and about single frames of them, for tools/finetune_lmm.py.

An answer is sentences, each followed by where its shape is, in the tokens of the demo LMM: ``<x3><y5>`` is the unit of
28 x 28 px that holds the centre of what is seen of it. For a picture that is one place; for a video one for each pair
of frames, which Qwen2-VL and Qwen2.5-VL read together, and ``-`` for a pair in which nothing of it is seen.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from flmm.shapes.generate_video import VideoSample
from flmm.shapes.motion_expressions import MOTIONS
from flmm.shapes.sample_motion import SIDE_STEP
from flmm.shapes.write_ref_video import frame_names

LOCATE_PROMPT = 'Locate the shapes.'
MOTION_PROMPT = 'Describe the shapes.'
UNSEEN = '-'
MIN_PIXELS = 56 * 56
"""Of a frame, as the demo LMM's processor has it: below the size of any frame, so that none is enlarged."""
MERGED_FRAMES = 2


def conversations(sample: VideoSample, *, frame_folder: str) -> Iterator[dict[str, Any]]:
    """Yield what is said of a video: of how shapes move, of what sentences mean in it, of each moment, and of a frame.

    What has nothing to say is left out.

    Args:
        sample: a drawn scene.
        frame_folder: where its frames lie, as the conversations are to name them.
    """
    yield motion_conversation(sample, frame_folder=frame_folder)
    if sample.sentences:
        yield video_conversation(sample, frame_folder=frame_folder)
    for start in range(0, sample.video.num_frames - 1, MERGED_FRAMES):
        if sample.masks[start : start + MERGED_FRAMES].any():
            yield moment_conversation(sample, frame_folder=frame_folder, start=start)
    if sample.frame_sentences.sentences:
        yield frame_conversation(sample, frame_folder=frame_folder)


def video_conversation(sample: VideoSample, *, frame_folder: str) -> dict[str, Any]:
    """Say where the shapes are that the sentences about the whole video mean, pair of frames by pair of frames.

    Args:
        sample: a drawn scene with at least one sentence.
        frame_folder: as in :func:`conversations`.
    """
    answers = [each.text + _places(sample.masks[:, each.shape_index]) for each in sample.sentences]
    return _conversation(_video_part(sample, frame_folder), answers)


def motion_conversation(sample: VideoSample, *, frame_folder: str) -> dict[str, Any]:
    """Say of each shape where it is in each pair of frames, how it moves within it, and at last which shape it is.

    The place comes before the words, so that they are learnt from what is seen there.

    Args:
        sample: a drawn scene.
        frame_folder: as in :func:`conversations`.
    """
    answers = []
    for index, (shape, motion) in enumerate(zip(sample.video.start.shapes, sample.video.motions, strict=True)):
        steps = ''
        for start in range(0, sample.video.num_frames, MERGED_FRAMES):
            last = start + MERGED_FRAMES - 1
            place = _places(sample.masks[start : last + 1, index])
            steps += place if place == UNSEEN else f'{place} {motion.within(start, last) or "still"}'
        if steps.strip(UNSEEN):
            answers.append(f'{steps} {shape.colour} {shape.kind}')
    return _conversation(_video_part(sample, frame_folder), answers, prompt=MOTION_PROMPT)


def moment_conversation(sample: VideoSample, *, frame_folder: str, start: int) -> dict[str, Any]:
    """Say of one pair of frames, read by itself, where each shape is, named by its looks and how it moves within it.

    Args:
        sample: a drawn scene.
        frame_folder: as in :func:`conversations`.
        start: the first of the two frames; one in which a shape is seen.
    """
    last = start + MERGED_FRAMES - 1
    answers = []
    for index, (shape, motion) in enumerate(zip(sample.video.start.shapes, sample.video.motions, strict=True)):
        place = _places(sample.masks[start : last + 1, index])
        if place != UNSEEN:
            said = MOTIONS[motion.within(start, last) or 'still']
            answers.append(f'{shape.colour} {shape.kind} that {said}{place}')
    return _conversation(_video_part(sample, frame_folder, frames=slice(start, last + 1)), answers)


def _video_part(sample: VideoSample, frame_folder: str, *, frames: slice = slice(None)) -> dict[str, Any]:
    names = frame_names(sample.video.num_frames)[frames]
    return {
        'type': 'video',
        'video': [f'{frame_folder}/{name}.jpg' for name in names],
        'sample_fps': sample.video.fps,
        'min_pixels': MIN_PIXELS,
    }


def frame_conversation(sample: VideoSample, *, frame_folder: str) -> dict[str, Any]:
    """Say where the shapes are that the sentences about one frame mean; the arguments are those of the other one."""
    frame = sample.frame_sentences.frame
    part = {'type': 'image', 'image': f'{frame_folder}/{frame_names(sample.video.num_frames)[frame]}.jpg'}
    answers = [
        sentence.text + _places(sample.masks[frame, index][None])
        for index, sentence in sample.frame_sentences.sentences
    ]
    return _conversation(part, answers)


def _conversation(part: dict[str, Any], answers: list[str], *, prompt: str = LOCATE_PROMPT) -> dict[str, Any]:
    question = [part, {'type': 'text', 'text': prompt}]
    return {
        'messages': [
            {'role': 'user', 'content': question},
            {'role': 'assistant', 'content': [{'type': 'text', 'text': '.'.join(answers)}]},
        ]
    }


def _places(masks: np.ndarray) -> str:
    """Give the place of a shape in each pair of frames, of its masks [T, H, W]."""
    frames, height, width = masks.shape
    cells = masks.reshape(frames, height // SIDE_STEP, SIDE_STEP, width // SIDE_STEP, SIDE_STEP)
    cover = cells.mean(axis=(2, 4))  # [T, rows, columns], 0..1
    places = []
    for start in range(0, frames, MERGED_FRAMES):
        pair = cover[start : start + MERGED_FRAMES].sum(axis=0)
        if not pair.any():
            places.append(UNSEEN)
            continue
        x, y = ((each * np.arange(len(each))).sum() / each.sum() for each in (pair.sum(axis=0), pair.sum(axis=1)))
        places.append(f'<x{int(x + 0.5)}><y{int(y + 0.5)}>')
    return ''.join(places)
