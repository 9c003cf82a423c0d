"""Videos beside adaptive patches: they are read as by the stock classes, whatever images stand beside them."""

import functools

import pytest
import torch
from tiny_adaptive import (
    IMAGE_SPAN,
    TIMESTAMPED,
    VIDEO_SPAN,
    adaptive_lmm,
    adaptive_processor,
    half_smooth_image,
    plain_positions,
)
from tiny_models import FAMILIES, PATCH_SIZES, tiny_lmm, tiny_processor

from flmm.video import FrameSampling, FrameSize, read_clip

BYTES_ALONE = {'suppress_tokens': list(range(256, 263))}
VIDEOS = [  # frames, width and height, frames a second, and which of them are read
    (4, (60, 60), 2.0, {}),
    (7, (90, 60), 5.5, {}),
    (3, (60, 130), 1.0, {}),  # an odd number
    (40, (64, 64), 24.0, {'fps': 6}),
    (9, (120, 60), 0.4, {'nframes': 2, 'video_start': 4.0}),
]
IMAGES = [half_smooth_image(size, seed=seed) for seed, size in enumerate([(140, 168), (84, 200), (160, 160)])]
SAMPLES = [
    ['a', 'V0', 'b', 'I0', 'c', 'V1', 'what is it'],
    ['I1', 'd', 'V2'],
    ['no picture'],
    ['V3', 'V4', 'e', 'I2', 'why?'],
]
SHOWN = ['qwen2_5_vl', 'qwen3_vl', *(pytest.param(name, marks=pytest.mark.slow) for name in ('qwen2_vl', 'qwen3_5'))]
"""The families, of which two stand for the others in the quick run."""
OF_GENERATION = [
    'qwen2_5_vl',
    *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES if name != 'qwen2_5_vl'),
]
"""The families, of which the one that reads seconds out of its inputs stands for the others in the quick run."""
PRUNED = {'patch_selection_method': 'budget', 'alpha': 0.5}


@functools.cache
def clips_for(family):
    unit = 2 * PATCH_SIZES[family]
    clips = []
    for number, (count, (width, height), fps, sampling) in enumerate(VIDEOS):
        frames = [half_smooth_image((height, width), seed=100 * number + frame) for frame in range(count)]
        size = FrameSize(unit=unit, min_pixels=unit**2, max_pixels=6 * unit**2)
        clips.append(
            read_clip(frames, fps=fps, sampling=FrameSampling(**sampling) if sampling else None, frame_size=size)
        )
    return clips


def read(processor, clips, samples, padding_side='right', **images_kwargs):
    """Inputs of a model; samples are lists of texts, of V and I with the number of a video or an image."""
    spans = {'V': VIDEO_SPAN, 'I': IMAGE_SPAN}
    parts = [part for sample in samples for part in sample]
    videos = [clips[int(part[1])] for part in parts if part[0] == 'V']
    images = [IMAGES[int(part[1])] for part in parts if part[0] == 'I']
    texts = [''.join(spans.get(part[0], part) for part in sample) for sample in samples]
    metadata = [clip.metadata for clip in videos]
    return processor(
        text=texts,
        images=images or None,
        videos=[clip.frames for clip in videos] or None,
        images_kwargs=images_kwargs,
        videos_kwargs={'do_sample_frames': False, 'do_resize': False, 'video_metadata': metadata} if videos else {},
        padding=True,
        padding_side=padding_side,
        return_tensors='pt',
    )


def in_double(inputs):
    return {name: value.double() if 'pixel' in name else value for name, value in inputs.items()}


def test_the_videos_differ():
    clips = clips_for('qwen2_5_vl')
    assert [len(clip.frames) for clip in clips] == [4, 8, 4, 10, 2]
    assert len({clip.frames.shape[2:] for clip in clips}) >= 4
    assert [clip.sampled_fps for clip in clips] == pytest.approx([2, 5.5, 1, 6, 2 / 7 * 0.4])


@pytest.mark.parametrize('family', SHOWN)
def test_videos_are_read_as_by_the_stock_classes(family):
    clips = clips_for(family)
    samples = [['a', 'V0', 'b', 'V1', 'V2'], ['V3', 'when?', 'V4'], ['text']]
    expected = read(tiny_processor(family), clips, samples)
    found = read(adaptive_processor(family), clips, samples)
    assert set(found) == set(expected)
    assert ('second_per_grid_ts' in expected) == (family == 'qwen2_5_vl')
    for name, value in expected.items():
        assert torch.equal(torch.as_tensor(found[name]), torch.as_tensor(value)), name
    if family in TIMESTAMPED:
        text = tiny_processor(family).tokenizer.decode(found['input_ids'][1])
        times = [sum(clips[3].seconds[frame : frame + 2]) / 2 for frame in range(0, 10, 2)]
        for time in times:
            assert f'<{time:.1f} seconds><|vision_start|>' in text
    stock, model = tiny_lmm(family), adaptive_lmm(family)
    names = ('input_ids', 'attention_mask', 'mm_token_type_ids', 'video_grid_thw', 'second_per_grid_ts')
    known = {name: found[name] for name in names if name in found}
    for of_stock, of_model in zip(
        stock.model.get_rope_index(**known), model.model.get_rope_index(**known), strict=True
    ):
        assert torch.equal(of_stock, of_model)
    with torch.no_grad():
        assert torch.equal(model(**found).logits, stock(**expected).logits)


@pytest.mark.parametrize('family', SHOWN)
def test_unpruned_images_beside_videos_give_the_stock_logits(family):
    clips = clips_for(family)
    expected = read(tiny_processor(family), clips, SAMPLES)
    found = read(adaptive_processor(family), clips, SAMPLES, patch_selection_method='none')
    for name, value in expected.items():
        assert torch.equal(torch.as_tensor(found[name]), torch.as_tensor(value)), name
    with torch.no_grad():
        assert torch.equal(adaptive_lmm(family)(**found).logits, tiny_lmm(family)(**expected).logits)


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('padding_side', ['right', pytest.param('left', marks=pytest.mark.slow)])
def test_positions_of_pruned_images_and_videos_equal_a_plain_walk(family, padding_side):
    clips = clips_for(family)
    inputs = read(adaptive_processor(family), clips, SAMPLES, padding_side=padding_side, **PRUNED)
    names = (
        'input_ids', 'attention_mask', 'mm_token_type_ids', 'image_grid_thw', 'video_grid_thw', 'second_per_grid_ts',
        'image_layout', 'image_num_tokens',
    )  # fmt: skip
    found, deltas = adaptive_lmm(family).model.get_rope_index(
        **{name: inputs[name] for name in names if name in inputs}
    )
    steps = None
    if family == 'qwen2_5_vl':
        steps = [4 * 2 / clip.sampled_fps for clip in clips]  # 4 positions a second, 2 frames to a grid
    expected, expected_deltas = plain_positions(inputs, frame_steps=steps)
    assert torch.equal(found, expected)
    assert torch.equal(deltas, expected_deltas)
    assert len(inputs['image_layout']) < int(inputs['image_grid_thw'].prod(1).sum()) // 4


@pytest.mark.parametrize('family', SHOWN)
def test_a_batch_of_pruned_images_and_videos_equals_one_by_one(family):
    clips, processor, model = clips_for(family), adaptive_processor(family), adaptive_lmm(family).double()
    batch = read(processor, clips, SAMPLES, **PRUNED)
    with torch.no_grad():
        together = model(**in_double(batch)).logits
        for sample, logits, mask in zip(SAMPLES, together, batch['attention_mask'].bool(), strict=True):
            alone = in_double(read(processor, clips, [sample], **PRUNED))
            torch.testing.assert_close(logits[mask], model(**alone).logits[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize('family', OF_GENERATION)
def test_generation_behind_pruned_images_and_videos(family):
    clips, processor, model = clips_for(family), adaptive_processor(family), adaptive_lmm(family)
    settings = {'max_new_tokens': 4, 'do_sample': False, **BYTES_ALONE}
    batch = read(processor, clips, SAMPLES, padding_side='left', **PRUNED)
    made = model.generate(**batch, **settings)[:, batch['input_ids'].shape[1] :]
    for sample, found in zip(SAMPLES, made, strict=True):
        alone = read(processor, clips, [sample], **PRUNED)
        expected = model.generate(**alone, **settings)[0, alone['input_ids'].shape[1] :]
        assert torch.equal(found, expected)
