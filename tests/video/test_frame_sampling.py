import logging
import random
import re

import pytest
import torch
from qwen_vl_utils import vision_process as reference

from flmm.video import FrameSampling


def chosen_by_reference(settings, num_frames, fps):
    """What qwen-vl-utils' torchcodec and decord readers choose; None where it fails."""
    try:
        start, end, available = reference.calculate_video_frame_range(settings, num_frames, fps)
        count = reference.smart_nframes(settings, available, fps)
    except (AssertionError, ValueError):
        return None
    return torch.linspace(start, end, count).round().long().tolist()


def random_settings(rng):
    settings = {}
    if rng.random() < 0.25:
        settings['nframes'] = rng.randint(2, 40)
    else:
        if rng.random() < 0.6:
            settings['fps'] = rng.choice([0.1, 0.5, 1, 1.7, 2.0, 3, 24, 60])
        if rng.random() < 0.4:
            settings['min_frames'] = rng.randint(1, 20)
        if rng.random() < 0.4:
            settings['max_frames'] = rng.randint(max(2, settings.get('min_frames', 2)), 60)
    if rng.random() < 0.4:
        settings['video_start'] = rng.choice([0, 0.5, 1 / 3, 2.0, 7.9])
    if rng.random() < 0.4:
        settings['video_end'] = settings.get('video_start', 0) + rng.choice([0.3, 1, 2.5, 100.0])
    return settings


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR, logger='qwen_vl_utils')


def test_it_chooses_as_qwen_vl_utils_does():
    rng = random.Random(0)
    compared = refused = 0
    for _ in range(20_000):
        settings = random_settings(rng)
        num_frames = rng.choice([1, 2, 3, 4, 5, 7, 16, rng.randint(1, 60), rng.randint(1, 5000)])
        fps = rng.choice([1.0, 5, 10.0, 23.976, 24, 25.0, 29.97, 30, 60.0, rng.uniform(0.5, 120)])
        expected = chosen_by_reference(settings, num_frames, fps)
        if expected is not None:
            assert FrameSampling(**settings).choose(num_frames, fps) == expected, (settings, num_frames, fps)
            compared += 1
            continue
        refused += 1
        try:
            chosen = FrameSampling(**settings).choose(num_frames, fps)
        except ValueError:
            continue
        assert len(chosen) == 2, (settings, num_frames, fps)  # the one thing that only the reference refuses
        assert chosen[0] == chosen[1], (settings, num_frames, fps)
    assert compared > 10_000
    assert refused > 500


@pytest.mark.parametrize(
    ('settings', 'num_frames', 'fps', 'expected'),
    [
        ({}, 30, 10.0, [0, 6, 12, 17, 23, 29]),  # 3 s, two a second
        ({}, 10, 10.0, [0, 3, 6, 9]),  # min_frames
        ({}, 3, 10.0, [0, 2]),
        ({}, 1, 10.0, [0, 0]),
        ({'fps': 1, 'max_frames': 5}, 100, 10.0, [0, 33, 66, 99]),
        ({'max_frames': 2}, 100, 10.0, [0, 99]),  # below the default of min_frames
        ({'nframes': 3}, 4, 10.0, [0, 1, 2, 3]),
        ({'nframes': 5}, 9, 1.0, [0, 3, 5, 8]),
        ({'video_start': 1.0, 'video_end': 2.0}, 30, 10.0, [10, 13, 17, 20]),
        ({'video_start': 2.9}, 30, 10.0, [29, 29]),
        ({'video_end': 99}, 4, 2.0, [0, 1, 2, 3]),
    ],
)
def test_by_hand(settings, num_frames, fps, expected):
    assert FrameSampling(**settings).choose(num_frames, fps) == expected


@pytest.mark.parametrize('value', [0, -1, float('nan'), float('inf'), True, '2', 5e-324, 1e7])
def test_rates_that_are_none(value):
    message = f'fps is {value!r}, expected a number of frames a second above 0, from 0.000001 to 1,000,000'
    with pytest.raises(ValueError, match=re.escape(message)):
        FrameSampling(fps=value)


@pytest.mark.parametrize('name', ['fps', 'nframes', 'min_frames', 'max_frames', 'video_start', 'video_end'])
def test_integers_beyond_all_floats(name):
    with pytest.raises(ValueError, match=rf'{name} is 10000000\d*\.\.\.\d*0000, expected a'):
        FrameSampling(**{name: 10**400})


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'nframes': 1}, 'nframes is 1, expected an integer of at least 2'),
        ({'nframes': 4.0}, 'nframes is 4.0, expected an integer of at least 2'),
        ({'min_frames': 0}, 'min_frames is 0, expected an integer of at least 1'),
        ({'max_frames': 1}, 'max_frames is 1, expected an integer of at least 2'),
        ({'video_start': -0.5}, 'video_start is -0.5, expected a number of seconds, 0 or more'),
        ({'video_end': 'end'}, "video_end is 'end', expected a number of seconds, 0 or more"),
        ({'nframes': 8, 'fps': 2}, 'nframes is 8 beside fps=2, and either says how many frames are read; give one'),
        ({'nframes': 8, 'max_frames': 9}, 'nframes is 8 beside max_frames=9'),
        ({'min_frames': 9, 'max_frames': 8}, 'min_frames is 9, more than max_frames=8'),
        ({'video_start': 2, 'video_end': 2}, 'video_start is 2 s, expected less than video_end=2 s'),
    ],
)
def test_settings_out_of_their_range(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FrameSampling(**settings)


@pytest.mark.parametrize(
    ('settings', 'num_frames', 'message'),
    [
        ({}, 0, 'the video has no frames'),
        ({'nframes': 6}, 5, 'nframes is 6, which is 6 as a multiple of 2, and the video has 5 frames'),
        (
            {'nframes': 6, 'video_end': 0.3},
            30,
            'nframes is 6, which is 6 as a multiple of 2, and the range of video_start and video_end has 4 frames',
        ),
        (
            {'video_start': 3.0},
            30,
            'video_start is 3.0 s, and no frame lies there: the video has 30 frames, 10 a second, the last at 2.9 s',
        ),
        ({'video_start': 0.31, 'video_end': 0.39}, 30, 'video_start is 0.31 s and video_end is 0.39 s, and no frame'),
    ],
)
def test_videos_that_have_not_what_is_asked_for(settings, num_frames, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FrameSampling(**settings).choose(num_frames, 10.0)


def test_a_video_without_a_rate():
    with pytest.raises(
        ValueError, match=r'the rate of the video is 0\.0, expected a number of frames a second above 0'
    ):
        FrameSampling().choose(8, 0.0)
