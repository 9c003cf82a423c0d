"""A whole dataset of shapes in motion in one folder, built once."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from flmm.atomic_write import open_atomic, write_json
from flmm.shapes.build_once import PARAMETER_FILE, check_drawing, drawing, is_built
from flmm.shapes.generate_video import VIDEO_GENERATOR_VERSION, VIDEO_SPLITS, generate_video
from flmm.shapes.sample_motion import video_config
from flmm.shapes.video_chat import conversations
from flmm.shapes.write_ref_video import RefVideoWriter

CHAT_FILE = 'chat.jsonl'


def build_video_dataset(
    root: str | Path,
    *,
    num_videos: Mapping[str, int],
    difficulty: str = 'medium',
    num_frames: int = 8,
    fps: float = 2.0,
    side_range: tuple[int, int] = (140, 196),
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
) -> dict[str, Any] | None:
    """Write videos of shapes in the layout of Ref-YouTube-VOS (:class:`RefVideoWriter`), and conversations about them.

    ``chat.jsonl`` holds the conversations about each training video (:func:`flmm.shapes.video_chat.conversations`).
    ``shapes.json``, written last, keeps the parameters: the same call again does nothing.

    Args:
        root: folder to write into; made if absent.
        num_videos: videos by split, of 'train', 'val' and 'test'; splits of 0 are left out.
        difficulty: one of :data:`flmm.shapes.DIFFICULTY`.
        num_frames: of a video, 6 or more.
        fps: frames in a second.
        side_range: height and width are multiples of 28 px in this range.
        seed: 0 or more.
        workers: processes that draw; what is written does not depend on it.
        overwrite: replace a dataset of other parameters.

    Returns:
        Number of expressions by split and kind, or None if all was there already.

    Raises:
        ValueError: bad parameters, or ``root`` holds a dataset of other parameters and ``overwrite`` is not set.
    """
    unknown = sorted(set(num_videos) - set(VIDEO_SPLITS))
    if unknown:
        raise ValueError(f'Unknown splits {unknown} in num_videos: choose from {VIDEO_SPLITS}.')
    if min(num_videos.values(), default=0) < 0 or not sum(num_videos.values()):
        raise ValueError(f'num_videos={dict(num_videos)}: give counts of 0 or more, and at least one video.')
    check_drawing(difficulty=difficulty, seed=seed, workers=workers)
    config = video_config(difficulty, num_frames=num_frames, fps=fps, side_range=side_range)
    root = Path(root)
    parameters = {
        'video_generator_version': VIDEO_GENERATOR_VERSION,
        'seed': seed,
        'difficulty': difficulty,
        'num_videos': {split: num_videos[split] for split in VIDEO_SPLITS if num_videos.get(split)},
        'num_frames': num_frames,
        'fps': fps,
        'side_range': list(side_range),
    }
    if is_built(root, parameters, overwrite=overwrite):
        return None
    root.mkdir(parents=True, exist_ok=True)
    counts: dict[str, dict[str, int]] = {}
    with drawing(workers) as draw, open_atomic(root / CHAT_FILE) as chat:
        for split, number in parameters['num_videos'].items():
            writer, counts[split] = RefVideoWriter(root, split), {}
            for sample in draw(partial(generate_video, seed=seed, split=split, config=config), number):
                writer.write(sample)
                for sentence in sample.sentences:
                    counts[split][sentence.kind] = counts[split].get(sentence.kind, 0) + 1
                if split == 'train':
                    for each in conversations(sample, frame_folder=f'{split}/JPEGImages/{sample.video_id}'):
                        chat.write(f'{json.dumps(each)}\n'.encode())
            writer.close()
    write_json(root / PARAMETER_FILE, parameters, indent=2)
    return counts
