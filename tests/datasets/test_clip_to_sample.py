"""ClipToSample: which frames the LMM reads, which get masks, and what is refused."""

import random
import re

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clips import clip_transform, tiny_item

from flmm.datasets import RefCOCO2PNG


def test_every_frame_gets_a_mask_from_the_moment_nearest_to_it(tmp_path):
    item = tiny_item(tmp_path, ['a cat'], num_frames=9)
    clip = clip_transform(sampling={'nframes': 4}).transform(item)  # reads 0, 3, 5 and 8
    assert clip.shown_in == [(0, 0)] * 5 + [(0, 1)] * 4  # 4 is as near to 3 as to 5
    assert clip.frame_names == [f'{i:05d}' for i in range(9)]
    grid = clip.sequences[0].lmm_inputs['video_grid_thw'].tolist()
    assert grid == [[2, 4, 6]]


def test_pixels_are_those_of_the_frames_that_are_read(tmp_path):
    item = tiny_item(tmp_path, ['a cat'], num_frames=9)
    transform = clip_transform(sampling={'nframes': 4})
    (sequence,) = transform.transform(item).sequences
    chosen = {**item, 'frame_paths': [item['frame_paths'][i] for i in (0, 3, 5, 8)], 'gt_masks': None}
    chosen['frame_names'] = ['0', '3', '5', '8']
    (expected,) = transform.transform(chosen).sequences
    for name in ('pixel_values_videos', 'video_grid_thw'):
        assert sequence.lmm_inputs[name].equal(expected.lmm_inputs[name])
    # 4 of 9 frames at 2 a second: a moment is two of them.
    assert sequence.lmm_inputs['second_per_grid_ts'].item() == pytest.approx(2 / (2 * 4 / 9))


@pytest.mark.parametrize('read_as', ['video', 'images'])
def test_in_training_a_few_frames_are_drawn(tmp_path, read_as):
    item = tiny_item(tmp_path, ['a cat'], num_frames=6)
    item['gt_objects'] = torch.arange(6, dtype=torch.uint8)[:, None, None].expand(6, 60, 90)
    transform = clip_transform(read_as=read_as, num_frames=2)
    random.seed(0)
    drawn = [tuple(map(int, transform.transform(item).frame_names)) for _ in range(30)]
    assert all(len(set(names)) == 2 and names == tuple(sorted(names)) for names in drawn)
    assert {number for names in drawn for number in names} == set(range(6))
    clip = transform.transform(item)
    numbers = [int(name) for name in clip.frame_names]
    assert clip.gt_masks.equal(item['gt_masks'][numbers])
    assert clip.gt_objects[:, 0, 0].tolist() == numbers
    stored = [np.asarray(Image.open(item['frame_paths'][number])) for number in numbers]
    assert all((np.asarray(frame) == pixels).all() for frame, pixels in zip(clip.frames, stored, strict=True))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'read_as': 'film'}, "read_as is 'film', expected one of"),
        ({'read_as': 'images', 'sampling': {'fps': 1}}, "read_as='images' reads every frame"),
        ({'num_frames': 0}, 'num_frames is 0, expected an integer of at least 1'),
        ({'sampling': {'nframes': 4, 'fps': 1}}, 'nframes is 4 beside fps=1'),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        clip_transform(**settings)


def test_samples_of_single_phrases_are_refused():
    to_sample = clip_transform().to_sample
    with pytest.raises(ValueError, match='to_sample has concat=False'):
        type(clip_transform())(
            to_sample=RefCOCO2PNG(image_processor=to_sample.image_processor, prompt='Look.', concat=False)
        )


def test_what_cannot_be_read_names_the_video(tmp_path):
    item = tiny_item(tmp_path, ['a cat'], num_frames=3)
    with pytest.raises(ValueError, match=f'video {str(tmp_path)!r}: nframes is 8, .* has 3 frames'):
        clip_transform(sampling={'nframes': 8}).transform(item)
    with pytest.raises(ValueError, match=f'image {str(tmp_path)!r}.*no letter'):
        clip_transform().transform({**item, 'text': ['']})


def test_frames_of_several_sizes_name_the_video(tmp_path):
    item = tiny_item(tmp_path, ['a cat'], num_frames=4)
    with Image.open(item['frame_paths'][2]) as frame:
        width, height = frame.size
        frame.resize((9, 8)).save(item['frame_paths'][2], format='PNG')
    first, third = (item['frame_names'][number] for number in (0, 2))
    message = (
        f'frame {third!r} has 9 x 8 px (width x height), {first!r} has {width} x {height}; frames of one video are'
    )
    with pytest.raises(ValueError, match=re.escape(f'video {item["video_path"]!r}: {message}')):
        clip_transform().transform(item)
    with pytest.raises(ValueError, match=re.escape(f'video {item["video_path"]!r} has frames of 9 x 8 and')):
        clip_transform(read_as='images').transform(item)


def test_times_between_the_moments_of_a_video_are_no_text_of_the_user(tmp_path):
    """Qwen3-VL writes when each moment is: tokens of bytes here, far more of them than the user's words."""
    item = tiny_item(tmp_path, ['a cat'], num_frames=40)
    transform = clip_transform('qwen3_vl', sampling={'nframes': 40})
    (sequence,) = transform.transform(item).sequences
    shown = torch.cat([view.columns for view in sequence.views])
    num_text = len(sequence.input_ids) - int(shown.max() - shown.min() + 1)
    assert num_text < len(sequence.input_ids) - len(shown) - 19 * 5
    transform.to_sample.max_text_tokens = num_text
    transform.transform(item)
    transform.to_sample.max_text_tokens = num_text - 1
    with pytest.raises(ValueError, match=f'have {num_text} tokens, max_text_tokens is {num_text - 1}'):
        transform.transform(item)


def test_a_video_that_the_processor_refuses_is_named_once(tmp_path):
    item = tiny_item(tmp_path, ['a cat'], num_frames=2, size=(1, 201))
    with pytest.raises(ValueError, match='aspect ratio') as error:
        clip_transform().transform({**item, 'gt_masks': None})
    assert str(error.value).count(str(tmp_path)) == 1
