import re

import pytest
import torch

from flmm.video import Clip

FRAMES = torch.zeros(4, 3, 56, 84, dtype=torch.uint8)


def test_times_of_frames():
    clip = Clip(frames=FRAMES, indices=(6, 8, 11, 13), source_fps=4.0, num_source_frames=20, name='clip.mp4')
    assert clip.seconds == (1.5, 2.0, 2.75, 3.25)
    assert clip.sampled_fps == 4 / 8 * 4.0  # 8 frames from the first to the last
    metadata = clip.metadata
    assert metadata.timestamps == list(clip.seconds)
    assert metadata.sampled_fps == clip.sampled_fps
    assert (metadata.width, metadata.height, metadata.duration) == (84, 56, 2.0)


def test_a_repeated_frame_counts():
    clip = Clip(frames=FRAMES, indices=(0, 1, 2, 2), source_fps=3.0, num_source_frames=3, name='frames')
    assert clip.sampled_fps == 3.0
    assert clip.seconds == (0, 1 / 3, 2 / 3, 2 / 3)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'frames': FRAMES.float()}, "video 'a': frames are torch.float32 (4, 3, 56, 84), expected uint8 [T, 3, H, W]"),
        ({'frames': FRAMES[0]}, "video 'a': frames are torch.uint8 (3, 56, 84)"),
        ({'frames': FRAMES[:0], 'indices': ()}, "video 'a': frames are torch.uint8 (0, 3, 56, 84)"),
        ({'indices': (0, 1)}, "video 'a': 4 frames of 2 indices, expected as many, and a multiple of 2"),
        ({'frames': FRAMES[:3], 'indices': (0, 1, 2)}, "video 'a': 3 frames of 3 indices"),
        ({'source_fps': 0}, "source_fps of video 'a' is 0, expected a number of frames a second above 0"),
    ],
)
def test_clips_that_are_none(settings, message):
    given = {'frames': FRAMES, 'indices': (0, 1, 2, 3), 'source_fps': 2.0, 'num_source_frames': 4, 'name': 'a'}
    with pytest.raises(ValueError, match=re.escape(message)):
        Clip(**(given | settings))
