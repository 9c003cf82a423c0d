"""FrozenQwenSAM over clips: its maps are the stock model's, its masks those of the frames by themselves."""

import itertools

import pytest
import torch
from tiny_clips import UNITS, clip_transform, tiny_clip, tiny_item
from tiny_grounder import tiny_grounder
from tiny_llava import tiny_grounder as tiny_llava
from tiny_models import FAMILIES, tiny_lmm, tiny_processor
from tiny_samples import tiny_sample
from transformers.video_utils import VideoMetadata

from flmm.datasets import unlabelled_item
from flmm.frozen_features import FrozenFeatures
from flmm.images import read_rgb
from flmm.models import frozen_parts
from flmm.visualization import sample_page

pytestmark = pytest.mark.usefixtures('on_one_thread')

PHRASES = ['a cat', 'the red one']
VIDEOS = [
    (6, 2.0, (60, 90), (0, 1, 2, 3, 4, 5)),
    (5, 7.5, (90, 60), (0, 1, 3, 4)),
    (9, 30.0, (60, 60), (0, 8)),
    (4, 0.5, (48, 130), (0, 1, 2, 3)),
    (8, 24.0, (100, 80), (0, 1, 3, 4, 6, 7)),
]
"""Number of frames, their rate, (height, width), and which frames are read."""


def stock_reading(family, item, phrase, *, indices):
    """Maps [moments, channels, cells] and states [layers - 1, tokens, hidden] of the stock model, eager attention."""
    processor, lmm = tiny_processor(family), tiny_lmm(family)
    lmm.set_attn_implementation('eager')
    paths = item['frame_paths']
    frames = [read_rgb(paths[i], name=paths[i], orientation='refuse', max_pixels=10**6) for i in indices]
    content = [{'type': 'video'}, {'type': 'text', 'text': 'Look.'}]
    text = processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)
    per_frame = family in ('qwen2_vl', 'qwen2_5_vl')
    area = 6 * UNITS[family] ** 2 * (1 if per_frame else len(frames))
    inputs = processor(
        text=[text + phrase],
        videos=[frames],
        video_metadata=[VideoMetadata(total_num_frames=len(paths), fps=item['fps'], frames_indices=list(indices))],
        do_sample_frames=False,
        size={'shortest_edge': area, 'longest_edge': area},
        return_tensors='pt',
        **({'cap_pixels_per_frame': True} if per_frame else {}),
    )
    with torch.no_grad():
        outputs = lmm(**inputs, output_attentions=True, output_hidden_states=True)
    num_tokens = len(phrase.encode())  # a token is a byte
    shown = inputs['input_ids'][0] == processor.video_token_id
    layers = [maps for maps in outputs.attentions if maps is not None]
    attentions = torch.cat(layers, dim=1)[0, :, -num_tokens:].mean(dim=1)[:, shown]
    maps = attentions.unflatten(1, (int(inputs['video_grid_thw'][0, 0]), -1)).transpose(0, 1)
    # The stock model gives the states of its last layer after a norm, FrozenLMM before it.
    return maps, torch.stack(outputs.hidden_states[1:-1])[:, 0, -num_tokens:]


@pytest.mark.parametrize(('num_frames', 'fps', 'size', 'indices'), VIDEOS)
@pytest.mark.parametrize('family', FAMILIES)
def test_maps_and_states_of_a_video_are_those_of_the_stock_model(tmp_path, family, num_frames, fps, size, indices):
    item = tiny_item(tmp_path, PHRASES, num_frames=num_frames, fps=fps, size=size)
    clip = clip_transform(family, sampling={'nframes': len(indices)}).transform(item)
    ((maps, states),) = tiny_grounder(family).run_moments(clip.sequences)
    assert len(maps) == len(indices) // 2
    start = 0
    for number, phrase in enumerate(PHRASES):
        expected, hidden = stock_reading(family, item, phrase, indices=indices)
        torch.testing.assert_close(maps[:, number].flatten(2), expected, atol=2e-5, rtol=1e-3)
        stop = start + hidden.shape[1]
        torch.testing.assert_close(states[:-1, start:stop], hidden, atol=2e-4, rtol=1e-3)
        start = stop


@pytest.mark.parametrize('family', FAMILIES)
def test_a_batch_of_images_and_videos_equals_one_by_one(tmp_path, family):
    model = tiny_grounder(family)
    clips = []
    for number, (num_frames, size) in enumerate([(6, (60, 90)), (4, (90, 60))]):
        folder = tmp_path / str(number)
        folder.mkdir()
        clips += tiny_clip(folder, PHRASES, family=family, num_frames=num_frames, size=size, seed=number).sequences
    samples = [
        clips[0],
        tiny_sample(['cat'], family=family),
        clips[1],
        tiny_sample(['b', 'dog'], family=family, seed=1),
    ]
    for sample, (maps, states) in zip(samples, model.run_moments(samples), strict=True):
        ((alone, alone_states),) = model.run_moments([sample])
        torch.testing.assert_close(maps, alone, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(states, alone_states, atol=1e-4, rtol=1e-4)


def test_masks_of_a_video_are_those_of_its_frames_one_by_one(tmp_path, monkeypatch):
    model, clip = tiny_grounder(), tiny_clip(tmp_path, PHRASES, num_frames=5)
    ((maps, states),) = model.run_moments(clip.sequences)
    expected = []
    for number, view in enumerate([0, 0, 0, 1, 1]):  # frames 0, 1, 3 and 4 are read, and 2 is as near to 1 as to 3
        (embedding,) = model.sam.encode_images([clip.frames[number]])
        features = FrozenFeatures(attentions=maps[view], hidden_states=states, image_embedding=embedding)
        expected += model([clip.frame_sample(number, features=features)], mode='predict')
    for frames_at_once in (1, 2, 4, 8):
        monkeypatch.setattr(frozen_parts, 'FRAMES_AT_ONCE', frames_at_once)
        (found,) = model([clip], mode='predict')
        assert found.phrases == PHRASES
        for frame, alone in zip(found.grounded, expected, strict=True):
            torch.testing.assert_close(frame.pred_masks, alone.pred_masks, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(frame.sam_pred_masks, alone.sam_pred_masks, atol=1e-4, rtol=1e-4)
            assert frame.features is None
            assert frame.masks is None  # a byte a pixel, frame and phrase, that only losses read


def test_frames_read_as_images_are_grounded_as_images_are(tmp_path):
    model = tiny_grounder()
    item = tiny_item(tmp_path, PHRASES, num_frames=3)
    transform = clip_transform(read_as='images')
    (found,) = model([transform.transform(item)], mode='predict')
    for number, frame in enumerate(found.grounded):
        image = transform.load_image.transform({'img_path': item['frame_paths'][number]})['image']
        (alone,) = model([transform.to_sample.transform(unlabelled_item(image, PHRASES))], mode='predict')
        torch.testing.assert_close(frame.sam_pred_masks, alone.sam_pred_masks, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(frame.pred_masks, alone.pred_masks, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('read_as', ['video', 'images'])
def test_losses_of_a_clip_are_those_of_its_frames(tmp_path, read_as):
    model = tiny_grounder().train()
    clip = tiny_clip(tmp_path, PHRASES, num_frames=3, read_as=read_as)
    frames = [frame for part in model.encode_frames(clip) for frame in part]
    expected, found = model(frames, mode='loss'), model([clip], mode='loss')
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-5)


def test_frames_without_the_object_take_no_part_in_losses_of_masks(tmp_path):
    model = tiny_grounder().train()
    clip = tiny_clip(tmp_path, ['a cat'], num_frames=4)
    clip.gt_masks[2:] = False
    half = tiny_clip(tmp_path, ['a cat'], num_frames=4)
    half = half.with_outputs(
        frames=half.frames[:2], shown_in=half.shown_in[:2], frame_names=half.frame_names[:2], gt_masks=half.gt_masks[:2]
    )
    expected, found = model([half], mode='loss'), model([clip], mode='loss')
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-5)
    clip.gt_masks[:] = False
    assert sum(model([clip], mode='loss').values()) == 0


def test_a_model_with_an_existence_head_says_in_which_frames_a_phrase_is(tmp_path):
    model = tiny_grounder(existence={'type': 'ExistenceHead'})
    clip = tiny_clip(tmp_path, PHRASES, num_frames=4)
    (found,) = model([clip], mode='predict')
    assert [tuple(frame.existence.shape) for frame in found.grounded] == [(2,)] * 4
    assert model.train()([clip], mode='loss')['loss_existence'] > 0
    (judged,) = model.eval().judge([clip])
    torch.testing.assert_close(judged, torch.cat([frame.existence for frame in found.grounded]))
    assert clip.has_target.shape == judged.shape


def test_the_existence_head_alone_is_trained_without_sam(tmp_path, monkeypatch):
    existence = {'type': 'ExistenceHead'}
    masks = tiny_grounder()
    stored = {'state_dict': masks.state_dict(), 'meta': {'frozen_parts': masks.frozen_parts()}}
    torch.save(stored, tmp_path / 'masks.pth')
    model = tiny_grounder(existence=existence, trained_masks=str(tmp_path / 'masks.pth')).train()
    clip = tiny_clip(tmp_path, PHRASES, num_frames=3)
    whole = tiny_grounder(existence=existence).train()
    whole.load_state_dict(model.state_dict())
    expected = whole([clip], mode='loss')['loss_existence']
    monkeypatch.setattr(model.sam, 'encode_images', None)
    assert model([clip], mode='loss') == {'loss_existence': expected}


def test_a_batch_may_hold_images_and_clips(tmp_path):
    model = tiny_grounder()
    clip, sample = tiny_clip(tmp_path, PHRASES, num_frames=2), tiny_sample(['cat'])
    found_image, found_clip = model([sample, clip], mode='predict')
    (alone,) = model([sample], mode='predict')
    torch.testing.assert_close(found_image.sam_pred_masks, alone.sam_pred_masks)
    assert len(found_clip.grounded) == 2
    assert model.train()([sample, clip], mode='loss').keys() == model([sample], mode='loss').keys()


def test_a_clip_without_truth_has_no_loss(tmp_path):
    clip = tiny_clip(tmp_path, PHRASES, num_frames=2, truth=False)
    with pytest.raises(ValueError, match=rf'image .{tmp_path}.* has no truth masks'):
        tiny_grounder()([clip], mode='loss')


def test_a_family_that_reads_no_videos_says_so(tmp_path):
    clip = tiny_clip(tmp_path, PHRASES, num_frames=2)
    with pytest.raises(ValueError, match=r"FrozenLlavaSAM does not read; .*read_as='images'"):
        tiny_llava().run_moments(clip.sequences)


def test_a_video_of_another_model_is_refused(tmp_path):
    clip = tiny_clip(tmp_path, PHRASES, family='qwen2_vl', num_frames=2)
    with pytest.raises(ValueError, match=r"reads \['pixel_values_videos', 'second_per_grid_ts', 'video_grid_thw'\]"):
        tiny_grounder('qwen2_5_vl')([clip], mode='predict')


def test_a_sample_of_a_video_has_no_masks_of_its_own(tmp_path):
    clip = tiny_clip(tmp_path, PHRASES, num_frames=2)
    with pytest.raises(ValueError, match='has no masks of its own; give its ClipSample'):
        tiny_grounder()(clip.sequences, mode='predict')


def test_a_page_shows_each_phrase_in_a_few_frames(tmp_path):
    model = tiny_grounder()
    (found,) = model([tiny_clip(tmp_path, PHRASES, num_frames=7)], mode='predict')
    page = sample_page(found)
    names = ['00000', '00002', '00004', '00006']
    assert [row.phrase for row in page.rows] == [f'{phrase} ({name})' for phrase in PHRASES for name in names]
    assert page.num_left_out == 0
    for row, (index, number) in zip(page.rows, itertools.product(range(2), (0, 2, 4, 6)), strict=True):
        assert (row.masks['refined'] == found.grounded[number].refined_masks[index].numpy()).all()
        assert row.heat is None
    with pytest.raises(ValueError, match='holds no predictions'):
        sample_page(tiny_clip(tmp_path, PHRASES, num_frames=2))
