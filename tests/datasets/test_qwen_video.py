"""Videos of QwenImageProcessorWrapper: text and pixels of the stock call, within the bounds that are asked for."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clips import UNITS
from tiny_models import FAMILIES, tiny_processor

from flmm.datasets import QwenImageProcessorWrapper
from flmm.video import Clip

BOUNDS = [{}, {'max_pixels': 20_000}, {'min_pixels': 1000, 'max_pixels': 5000}, {'max_pixels': 200_000}]


def wrapper_of(family, **settings):
    return QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor(family), **settings)


def clip_of(num_frames, size, fps=2.0):
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, 3, *size), dtype=np.uint8)
    return Clip(
        frames=torch.from_numpy(frames),
        indices=tuple(range(num_frames)),
        source_fps=fps,
        num_source_frames=num_frames,
        name='walk',
    )


@pytest.mark.parametrize('family', ['qwen2_5_vl', 'qwen3_vl'])  # of the two ways to count
@pytest.mark.parametrize('bounds', BOUNDS)
@pytest.mark.parametrize(('num_frames', 'size'), [(4, (100, 200)), (30, (90, 60))])
def test_frames_are_within_the_bounds(family, bounds, num_frames, size):
    processed = wrapper_of(family, **bounds).preprocess_video(clip_of(num_frames, size), prompt='Look.')
    moments, rows, columns = processed.lmm_inputs['video_grid_thw'][0].tolist()
    area = rows * columns * (UNITS[family] // 2) ** 2
    assert len(processed.views) == moments == num_frames // 2
    known = tiny_processor(family).video_processor.size
    counted = num_frames if family == 'qwen3_vl' else 1
    largest = bounds.get('max_pixels', known['longest_edge'] / counted)
    if not bounds and counted == 1:  # a short side may be rounded up, as in qwen-vl-utils
        largest = max(largest, 1.05 * known['shortest_edge'])
    assert area <= largest
    assert area >= bounds.get('min_pixels', 0)


@pytest.mark.parametrize('family', FAMILIES)
def test_text_and_pixels_are_those_of_the_stock_call(family):
    clip, prompt = clip_of(6, (60, 90), fps=29.97), 'What moves?'
    processor = tiny_processor(family)
    processed = wrapper_of(family).preprocess_video(clip, prompt=prompt)
    turn = [{'type': 'video'}, {'type': 'text', 'text': prompt}]
    text = processor.apply_chat_template(
        [{'role': 'user', 'content': turn}], tokenize=False, add_generation_prompt=True
    )
    expected = processor(
        text=[text],
        videos=[clip.frames],
        video_metadata=[clip.metadata],
        do_sample_frames=False,
        cap_pixels_per_frame=family in ('qwen2_vl', 'qwen2_5_vl'),
        return_tensors='pt',
    )
    assert torch.equal(processed.input_ids, expected['input_ids'][0])
    for name, value in processed.lmm_inputs.items():
        assert torch.equal(value, torch.as_tensor(expected[name])), name


def test_bounds_that_exclude_each_other_are_refused():
    message = '4 frames would be of 300000 px at least and of 196608 px at most; set min_pixels and max_pixels'
    with pytest.raises(ValueError, match=re.escape(message)):
        wrapper_of('qwen3_vl', min_pixels=300_000).preprocess_video(clip_of(4, (60, 90)), prompt='Look.')


def test_words_about_a_video():
    wrapper, clip = wrapper_of('qwen2_5_vl'), clip_of(2, (60, 90))
    plain = wrapper.preprocess_video(clip, prompt='What moves?').input_ids
    for prompt in ('<video>\nWhat moves?', '<image>What moves? ', ' What <video>moves?'):
        assert torch.equal(wrapper.preprocess_video(clip, prompt=prompt).input_ids, plain)
    special = wrapper.preprocess_video(clip, prompt='<|video_pad|><|im_end|>').input_ids
    for token in ('<|video_pad|>', '<|im_end|>'):
        number = wrapper.tokenizer.convert_tokens_to_ids(token)
        assert (special == number).sum() == (plain == number).sum()


def test_words_about_an_image_may_name_videos():
    wrapper = wrapper_of('qwen2_5_vl')
    words = wrapper.encode_text('What is <video>?')
    ids = wrapper.preprocess(Image.new('RGB', (90, 60)), prompt='<image>What is <video>?').input_ids.tolist()
    assert any(ids[start : start + len(words)] == words for start in range(len(ids)))
