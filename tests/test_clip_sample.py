"""ClipSample: which view shows a frame, what a frame carries, and fields that do not fit together."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from tiny_clips import tiny_clip

from flmm.clip_sample import VOID
from flmm.frozen_features import FrozenFeatures
from flmm.geometry import image_to_processed

FEATURES = FrozenFeatures(attentions=torch.zeros(1), hidden_states=torch.zeros(1), image_embedding={})


def test_a_frame_is_a_sample_of_the_view_that_shows_it(tmp_path):
    clip = tiny_clip(tmp_path, ['a cat', 'dog'], num_frames=4)
    for number, view in enumerate([0, 0, 1, 1]):
        frame = clip.frame_sample(number, features=FEATURES)
        assert frame.views == [clip.sequences[0].views[view]]
        assert frame.image is clip.frames[number]
        assert frame.image_path == f'{tmp_path}/{number:05d}'
        assert frame.phrases == ['a cat', 'dog']
        assert not frame.is_video
        assert torch.equal(frame.gt_masks, clip.gt_masks[number])
        assert torch.equal(frame.masks, image_to_processed(clip.gt_masks[number], frame.meta_data))


def test_frames_ignore_void_pixels_of_all_phrases(tmp_path):
    clip = tiny_clip(tmp_path, ['a cat', 'dog'], num_frames=2)
    assert clip.frame_sample(0, features=FEATURES).ignore_masks is None
    objects = torch.zeros(2, 60, 90, dtype=torch.uint8)
    objects[0, :5], objects[1, 7:] = 1, VOID
    clip = replace(clip, gt_objects=objects)
    for number in (0, 1):
        ignored = clip.frame_sample(number, features=FEATURES).ignore_masks
        assert torch.equal(ignored, torch.stack([objects[number] == VOID] * 2))
    assert clip.to('meta').gt_objects.device.type == 'meta'


def test_columns_of_the_views_are_the_tokens_of_the_video_in_order_of_time(tmp_path):
    (sequence,) = tiny_clip(tmp_path, ['a cat'], num_frames=6).sequences
    columns = torch.cat([view.columns for view in sequence.views])
    placeholder = sequence.input_ids[columns[0]]
    assert torch.equal(columns, (sequence.input_ids == placeholder).nonzero().squeeze(1))
    assert [len(view.columns) for view in sequence.views] == [6, 6, 6]
    assert sequence.is_video


def test_of_images_every_frame_has_a_sequence(tmp_path):
    clip = tiny_clip(tmp_path, ['a cat'], num_frames=3, read_as='images')
    assert clip.shown_in == [(0, 0), (1, 0), (2, 0)]
    assert [sequence.image for sequence in clip.sequences] == clip.frames
    assert not any(sequence.is_video for sequence in clip.sequences)


def test_moving_to_a_device_moves_all_tensors(tmp_path):
    clip = tiny_clip(tmp_path, ['a cat'], num_frames=2).to('meta')
    assert clip.gt_masks.device.type == 'meta'
    assert clip.sequences[0].input_ids.device.type == 'meta'
    assert clip.sequences[0].lmm_inputs['pixel_values_videos'].device.type == 'meta'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'frames': []}, 'has no frame, or nothing that the LMM reads'),
        ({'frames': [Image.new('RGB', (90, 60)), Image.new('RGB', (8, 6))]}, 'has frames of 8 x 6 and 90 x 60 px'),
        ({'frame_names': ['0']}, 'has names of frames 1, expected 2'),
        ({'shown_in': [(0, 0)]}, 'has places of frames 1, expected 2'),
        ({'shown_in': [(0, 0), (0, 1)]}, r'has places that no view has \[\(0, 1\)\]'),
        ({'gt_masks': torch.zeros(2, 1, 9, 6, dtype=torch.bool)}, r'has truth of shape \(2, 1, 9, 6\), expected'),
        ({'gt_masks': torch.zeros(2, 1, 60, 90)}, r'has truth of dtype torch.float32, expected torch.bool'),
        ({'gt_objects': torch.zeros(2, 6, 9)}, r'has objects of shape \(2, 6, 9\), expected \(2, 60, 90\)'),
        ({'gt_objects': torch.zeros(2, 60, 90)}, 'has objects of dtype torch.float32, expected torch.uint8'),
    ],
)  # fmt: skip
def test_fields_that_do_not_fit_together_are_refused(tmp_path, change, message):
    clip = tiny_clip(tmp_path, ['a cat'], num_frames=2)
    with pytest.raises(ValueError, match=f'video {str(tmp_path)!r} {message}'):
        replace(clip, **change)


def test_every_frame_and_phrase_has_a_target_or_none(tmp_path):
    clip = tiny_clip(tmp_path, ['a cat', 'dog'], num_frames=2)
    clip.gt_masks[1, 0] = False
    assert clip.has_target.tolist() == [True, True, False, True]
    assert len(clip.views) == 1
