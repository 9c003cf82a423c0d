import logging
import random
import re

import pytest
import torch
from qwen_vl_utils import vision_process as reference

from flmm.video import FrameSize


def size_of_reference(settings, size, num_frames, monkeypatch, patch_size):
    """(width, height) to which qwen-vl-utils resizes the frames of a file; None where it fails."""
    width, height = size

    class Frames:
        shape = (num_frames, 3, height, width)

    asked = []
    monkeypatch.setitem(reference.VIDEO_READER_BACKENDS, 'torchcodec', lambda part: (Frames, {}, 2.0))
    monkeypatch.setattr(reference, 'get_video_reader_backend', lambda: 'torchcodec')
    resized = torch.zeros(1)
    monkeypatch.setattr(reference.transforms.functional, 'resize', lambda video, new, **_: asked.append(new) or resized)
    try:
        reference.fetch_video({'video': 'clip.mp4', **settings}, image_patch_size=patch_size)
    except (AssertionError, ValueError):
        return None
    (new_height, new_width) = asked[-1]
    return (new_width, new_height) if new_width and new_height else None


def test_sizes_are_those_of_qwen_vl_utils(monkeypatch, caplog):
    caplog.set_level(logging.ERROR, logger='qwen_vl_utils')
    rng = random.Random(0)
    compared = 0
    for _ in range(3000):
        patch_size = rng.choice([14, 16])
        settings = {}
        if rng.random() < 0.5:
            settings['min_pixels'] = rng.choice([784, 4 * 784, 50_000, 200_000])
        if rng.random() < 0.6:
            settings['max_pixels'] = rng.choice([60_000, 151_200, 300_000, 602_112, 2_000_000])
        if rng.random() < 0.4:
            settings['total_pixels'] = rng.choice([300_000, 4_000_000, 20_480 * 784])
        size = (rng.randint(20, 2500), rng.randint(20, 2500))
        num_frames = 2 * rng.choice([1, 2, 4, 10, 60, 384])
        if settings.get('max_pixels', 10**9) < settings.get('min_pixels', 0):
            continue
        expected = size_of_reference(settings, size, num_frames, monkeypatch, patch_size)
        frame_size = FrameSize(**settings, unit=2 * patch_size)
        if expected is not None:
            assert frame_size.resized(size, num_frames=num_frames) == expected, (settings, size, num_frames)
            compared += 1
    assert compared > 2000


def test_by_hand():
    assert FrameSize().bounds(8) == (128 * 784, 768 * 784)
    assert FrameSize().bounds(768) == (128 * 784, pytest.approx(115_200 * 784 / 384))
    assert FrameSize(min_pixels=784, total_pixels=784 * 40).bounds(20) == (784, 784 * 4)
    assert FrameSize(total_pixels=784).bounds(20) == (128 * 784, int(128 * 784 * 1.05))
    assert FrameSize(max_pixels=50_000).bounds(8) == (784, 50_000)  # where qwen-vl-utils fails
    assert FrameSize(unit=32).bounds(8) == (128 * 1024, 768 * 1024)
    assert FrameSize(min_pixels=784, max_pixels=4 * 784).resized((100, 100), num_frames=2) == (56, 56)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'min_pixels': 0}, 'min_pixels is 0, expected an integer of at least 1'),
        (
            {'min_pixels': 10**12 + 1},
            'min_pixels is 1000000000001, expected an integer of at least 1, at most 1,000,000,000,000',
        ),
        ({'total_pixels': 10**400}, 'expected an integer of at least 1, at most 1,000,000,000,000'),
        ({'total_pixels': 1e6}, 'total_pixels is 1000000.0, expected an integer of at least 1'),
        ({'max_pixels': 783}, 'max_pixels is 783, expected at least 784, which is min_pixels or the area of one token'),
        ({'max_pixels': 1000, 'min_pixels': 2000}, 'max_pixels is 1000, expected at least 2000'),
    ],
)
def test_settings_out_of_their_range(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FrameSize(**settings)


def test_a_side_far_longer_than_the_other():
    with pytest.raises(ValueError, match='aspect ratio must be smaller than 200'):
        FrameSize().resized((2010, 10), num_frames=2)
