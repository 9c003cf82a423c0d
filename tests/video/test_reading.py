import re

import pytest
import torch
from PIL import Image
from tiny_videos import grey_of, write_video
from torchvision.transforms.v2 import functional as tvF
from transformers import Qwen2VLVideoProcessor
from transformers.image_utils import SizeDict

from flmm.video import FrameSampling, FrameSize, read_clip, read_clip_shape, reading


def pictures(count, size=(84, 56)):
    return [Image.effect_noise(size, 60 + number).convert('RGB') for number in range(count)]


def pixels_of(image):
    return tvF.pil_to_tensor(image)


# --- lists of frames


def test_all_frames_of_a_list(tmp_path):
    images = pictures(5)
    paths = []
    for number, image in enumerate(images):
        image.save(tmp_path / f'{number}.png')
        paths.append(tmp_path / f'{number}.png')
    expected = torch.stack([pixels_of(images[number]) for number in (0, 1, 2, 3, 4, 4)])  # made even
    for source in (images, paths, [str(path) for path in paths], [images[0], *paths[1:]]):
        clip = read_clip(source, fps=4)
        assert torch.equal(clip.frames, expected)
        assert clip.indices == (0, 1, 2, 3, 4, 4)
        assert (clip.source_fps, clip.sampled_fps, clip.num_source_frames) == (4, 4, 5)
        assert read_clip_shape(source, fps=4) == (6, 3, 56, 84)
    assert read_clip(images).source_fps == 2.0
    assert read_clip(images, name='walk').name == 'walk'


def test_frames_chosen_of_a_list():
    images = pictures(9)
    clip = read_clip(images, fps=3, sampling=FrameSampling(nframes=4, video_start=1 / 3, video_end=2.5))
    assert clip.indices == (1, 3, 5, 7)
    assert torch.equal(clip.frames[1], pixels_of(images[3]))
    assert clip.sampled_fps == 4 / 7 * 3  # the range is frames 1 to 7


def test_the_rate_of_the_video_that_frames_were_taken_from():
    clip = read_clip(pictures(4), fps=2, raw_fps=30)
    assert clip.indices == (0, 15, 30, 45)
    assert clip.seconds == (0, 0.5, 1, 1.5)
    assert (clip.source_fps, clip.num_source_frames, clip.metadata.total_num_frames) == (30, 60, 60)
    assert clip.sampled_fps == 2


def test_frames_are_resized_as_transformers_does_it():
    images = pictures(4, size=(201, 133))
    size = FrameSize(min_pixels=784, max_pixels=20_000)
    clip = read_clip(images, frame_size=size)
    whole = torch.stack([pixels_of(image) for image in images])[None]  # [1, T, 3, H, W]
    expected = Qwen2VLVideoProcessor().resize(
        whole, SizeDict(shortest_edge=784, longest_edge=20_000), resample=3, factor=28
    )
    assert clip.frames.shape == (4, 3, 112, 168)
    assert torch.equal(clip.frames, expected[0])
    assert read_clip_shape(images, frame_size=size) == (4, 3, 112, 168)


@pytest.mark.parametrize(
    ('source', 'settings', 'message'),
    [
        ([], {}, "video 'list of frames' has no frames; give a list of at least one"),
        (
            [*pictures(1), *pictures(1, (84, 57))],
            {},
            "video 'list of frames': frame 1 has 84 x 57 px (width x height), frame 0 has 84 x 56; frames of one video",
        ),
        ([7], {}, "video 'list of frames': frame 0 is 7, expected a path or an image"),
        (pictures(2), {'max_pixels': 84 * 56 - 1}, 'frame 0 has 84 x 56 px, expected 1 to max_pixels=4,703'),
        (pictures(2), {'fps': 0}, "video 'list of frames': fps is 0, expected a number of frames a second above 0"),
        (pictures(2), {'fps': 5, 'raw_fps': 4}, 'raw_fps is 4, less than the rate of the frames that were taken, 5'),
        (pictures(3), {'sampling': FrameSampling(nframes=4)}, "video 'list of frames': nframes is 4, which is 4 as a"),
        (pictures(1)[0], {}, "video 'list of frames' is of type Image, expected a path or a list of frames"),
        (iter(pictures(1)), {}, 'is of type list_iterator, expected a path or a list of frames'),
        (torch.zeros(4, 3, 56, 84), {}, "video 'list of frames' is of type Tensor, expected a path or a list of"),
        (b'clip', {}, "video 'list of frames' is of type bytes, expected a path or a list of frames"),
        (None, {}, "video 'list of frames' is of type NoneType, expected a path or a list of frames"),
        (pictures(2), {'raw_fps': 1e308}, "video 'list of frames': raw_fps is 1e+308, expected a number of frames a"),
        (['absent.png'], {}, "image 'absent.png' cannot be read (it does not exist)"),
        (pictures(1, (2010, 8)), {'frame_size': FrameSize()}, "video 'list of frames': absolute aspect ratio"),
        (pictures(2), {'orientation': 'left'}, "orientation is 'left', expected one of"),
        (pictures(2), {'sampling': {'fps': 1}}, "sampling is {'fps': 1}, expected a FrameSampling of flmm.video"),
        (pictures(2), {'frame_size': 3136}, 'frame_size is 3136, expected a FrameSize of flmm.video'),
    ],
)
def test_lists_that_are_no_video(source, settings, message):
    for read in (read_clip, read_clip_shape):
        with pytest.raises(ValueError, match=re.escape(message)):
            read(source, **settings)


def test_an_image_of_unknown_range_is_named():
    images = [*pictures(1), Image.new('F', (84, 56))]
    with pytest.raises(ValueError, match=r"video 'list of frames': frame 1: pixels of mode 'F' have no known range"):
        read_clip(images)


def test_frames_take_no_more_memory_than_is_allowed(monkeypatch):
    monkeypatch.setattr(reading, 'MAX_CLIP_PIXELS', 4 * 84 * 56)
    assert len(read_clip(pictures(4)).frames) == 4
    message = "video 'list of frames': 6 frames of 84 x 56 px are more than 18,816 pixels in all; read fewer"
    with pytest.raises(ValueError, match=re.escape(message)):
        read_clip_shape(pictures(5))


# --- files


def test_frames_of_a_file(tmp_path):
    path = write_video(tmp_path / 'clip.mp4', num_frames=30, size=(96, 64), fps=10)
    clip = read_clip(path)
    assert clip.indices == (0, 6, 12, 17, 23, 29)
    assert [int(frame[0, -8:, -8:].float().mean() + 0.5) for frame in clip.frames] == pytest.approx(
        [grey_of(number) for number in clip.indices], abs=2
    )
    assert clip.frames.shape == (6, 3, 64, 96)
    assert (clip.source_fps, clip.sampled_fps, clip.num_source_frames) == (10, 2, 30)
    assert clip.name == str(path)
    assert read_clip_shape(str(path)) == (6, 3, 64, 96)
    assert read_clip(path, frame_size=FrameSize(max_pixels=6272)).frames.shape == (6, 3, 56, 84)
    late = read_clip(path, sampling=FrameSampling(fps=10, video_start=2))
    assert late.indices == tuple(range(20, 30))
    assert late.sampled_fps == 10


@pytest.mark.parametrize('setting', ['fps', 'raw_fps'])
def test_a_file_knows_its_rate(tmp_path, setting):
    path = write_video(tmp_path / 'clip.mp4', num_frames=2)
    with pytest.raises(ValueError, match=rf"video '.*clip\.mp4': {setting} is 5, and a file knows its rate; leave it"):
        read_clip(path, **{setting: 5})


def test_a_range_outside_of_a_file(tmp_path):
    path = write_video(tmp_path / 'clip.mp4', num_frames=5)
    message = r"video '.*clip\.mp4': video_start is 9 s, and no frame lies there: the video has 5 frames, 10 a second"
    for read in (read_clip, read_clip_shape):
        with pytest.raises(ValueError, match=message):
            read(path, sampling=FrameSampling(video_start=9))
