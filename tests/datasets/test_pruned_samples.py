"""Adaptive patches on their way into a GroundingSample: settings of the wrapper, and what a pruned sample holds."""

import random
import re
import warnings

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from PIL import Image, ImageDraw
from tiny_adaptive import adaptive_processor
from tiny_models import FAMILIES, tiny_processor
from tiny_samples import pruned

from flmm.apt import TokenLayout
from flmm.apt.patch_selection import SETTINGS as SELECTION
from flmm.datasets import QwenImageProcessorWrapper, RefCOCO2PNG
from flmm.qwen.image_processing import _warn_that_v1_keeps_photographs

SETTINGS = [
    {'patch_selection_method': 'v1'},
    {'patch_selection_method': 'v1', 'thresholds': [4.0, 3.5]},
    {'patch_selection_method': 'v2', 'alpha': 0.8},
    {'patch_selection_method': 'budget', 'alpha': 0.3},
    {'patch_selection_method': 'budget', 'alpha': 0.5, 'method': 'laplacian', 'laplacian_aggregate': 'max', 'blur': 5},
]


def half_smooth_image(height=340, width=450):
    """Noise below, a flat sky above, a disk between."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[: height // 2] = (120, 160, 220)
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).ellipse((150, 60, 230, 140), fill=(200, 40, 40))
    return image


def wrapped(family='qwen2_5_vl', **settings):
    return QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor(family), **settings)


def sample_of(image, **settings):
    mask = np.zeros((2, image.height, image.width), dtype=np.uint8)
    mask[:, 60:140, 150:230] = 1
    item = {
        'img_path': 'disk.png',
        'image': image,
        'text': ['the disk', 'it'],
        'gt_masks': BitmapMasks(mask, image.height, image.width),
    }
    return RefCOCO2PNG(image_processor=wrapped(**settings), prompt='Where?').transform(item)


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_the_wrapper_gives_what_the_adaptive_processor_gives(family, settings):
    image = half_smooth_image()
    adaptive = adaptive_processor(family)
    turn = [{'type': 'image'}, {'type': 'text', 'text': 'Where?'}]
    text = adaptive.apply_chat_template([{'role': 'user', 'content': turn}], tokenize=False, add_generation_prompt=True)
    expected = adaptive(text=[text], images=[image], return_tensors='pt', images_kwargs=settings)
    found = wrapped(family, **settings).preprocess(image, prompt='Where?')
    assert torch.equal(found.lmm_inputs['pixel_values'], expected['pixel_values'])
    assert torch.equal(found.views[0].layout.tokens, expected['image_layout'])
    assert torch.equal(found.lmm_inputs['image_grid_thw'], expected['image_grid_thw'])
    assert torch.equal(found.input_ids, expected['input_ids'][0])
    assert len(found.views[0].layout.tokens) < found.lmm_inputs['image_grid_thw'].prod() // 4


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_a_pruned_sample_is_the_dense_one_read_by_its_layout(settings):
    image = half_smooth_image()
    found, dense = sample_of(image, **settings), sample_of(image)
    assert torch.equal(dense.layout.tokens, TokenLayout.dense(dense.grid_size).tokens)
    assert not found.layout.is_dense
    expected = pruned(dense, found.layout)
    torch.testing.assert_close(found.lmm_inputs['pixel_values'], expected.lmm_inputs['pixel_values'], atol=1e-5, rtol=0)
    assert torch.equal(found.input_ids, expected.input_ids)
    assert torch.equal(found.mask_ids, expected.mask_ids)
    assert torch.equal(found.masks, dense.masks)  # truth stays on the dense frame
    assert found.grid_size == dense.grid_size


def test_flat_regions_are_read_coarsely_and_the_object_finely():
    layout = sample_of(half_smooth_image(), patch_selection_method='v1').layout
    size = TokenLayout(tokens=layout.tokens, grid_size=layout.grid_size).to_dense(
        layout.tokens[:, 2].float(), mode='copy'
    )
    assert size[0, 0] == size[0, -1] == 4  # the sky's corners
    assert (size[7:] == 1).all()  # the noise


def test_a_setting_that_does_not_exist_is_named():
    for name in ('methods', 'min_pixel', 'merge_size'):
        message = (
            f"unknown setting '{name}'; expected min_pixels, max_pixels or one of .*: patch_selection_method, alpha,"
        )
        with pytest.raises(ValueError, match=message):
            wrapped(**{'patch_selection_method': 'budget', 'alpha': 0.3, name: 2})


def test_settings_of_a_saved_processor_are_those_of_the_wrapper():
    adaptive = adaptive_processor(patch_selection_method='v2', alpha=0.7, method='laplacian', blur=5, max_token_size=2)
    wrapper = QwenImageProcessorWrapper(pretrained_model_name_or_path=adaptive, blur=3)
    assert {name: getattr(wrapper.image_processor, name) for name in SELECTION} == SELECTION | {
        'patch_selection_method': 'none',
        'blur': 3,
    }


def test_a_range_of_alpha_is_drawn_anew_for_each_image():
    image = half_smooth_image()
    wrapper = wrapped(patch_selection_method='budget', alpha=(0.2, 0.9))
    random.seed(0)
    alphas = [random.uniform(0.2, 0.9) for _ in range(4)]
    random.seed(0)
    found = [wrapper.preprocess(image, prompt='Where?').views[0].layout.tokens for _ in range(4)]
    expected = [
        wrapped(patch_selection_method='budget', alpha=alpha).preprocess(image, prompt='Where?').views[0].layout.tokens
        for alpha in alphas
    ]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert len({len(layout) for layout in found}) == 4


def test_a_range_of_alpha_that_is_not_used_is_told_once():
    with pytest.warns(UserWarning, match='does not use it'):
        wrapper = wrapped(patch_selection_method='v1', thresholds=(3.0, 2.0), alpha=(0.2, 0.9))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        for _ in range(3):
            wrapper.preprocess(half_smooth_image(), prompt='Where?')
    assert len({str(warning.message) for warning in told}) == 1  # Python shows a message once


def test_the_default_has_nothing_to_tell():
    _warn_that_v1_keeps_photographs.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert wrapped().preprocess(half_smooth_image(), prompt='Where?').views[0].layout.is_dense


def test_alpha_without_a_method_is_told():
    for alpha in (0.3, (0.2, 1.0)):
        with pytest.warns(UserWarning, match="alpha is .*, but patch_selection_method 'none' does not use it"):
            wrapped(alpha=alpha)


@pytest.mark.parametrize('alpha', [np.float32(0.5), (np.float32(0.5), np.float64(0.5))])
def test_alpha_may_be_a_number_of_numpy(alpha):
    expected, found = (
        wrapped(patch_selection_method='budget', alpha=alpha).preprocess(half_smooth_image(), prompt='Where?')
        for alpha in (0.5, alpha)
    )
    assert torch.equal(expected.views[0].layout.tokens, found.views[0].layout.tokens)


def test_one_alpha_draws_nothing():
    random.seed(0)
    before = random.getstate()
    wrapped(patch_selection_method='budget', alpha=0.5).preprocess(half_smooth_image(), prompt='Where?')
    assert random.getstate() == before


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'patch_selection_method': 'v3'}, "patch_selection_method is 'v3'"),
        ({'patch_selection_method': 'budget', 'alpha': 0.0}, 'alpha is 0.0'),
        ({'patch_selection_method': 'budget', 'alpha': (0.5, 1.5)}, 'alpha is 1.5'),
        ({'patch_selection_method': 'budget', 'alpha': (0.5, 0.2)}, 'alpha is (0.5, 0.2), expected a number or a pair'),
        ({'patch_selection_method': 'budget', 'alpha': (0.1, 0.2, 0.3)}, 'expected a number or a pair (low, high)'),
        (
            {'patch_selection_method': 'budget', 'alpha': '0.3'},
            "alpha is '0.3', expected a number or a pair (low, high)",
        ),
        ({'patch_selection_method': 'budget', 'alpha': 'ab'}, "alpha is 'ab', expected a number or a pair (low, high)"),
        ({'patch_selection_method': 'budget', 'alpha': None}, 'alpha is None, expected a number or a pair (low, high)'),
        ({'patch_selection_method': 'budget', 'alpha': (0.3, None)}, 'expected a number or a pair (low, high)'),
        (
            {'patch_selection_method': 'budget', 'alpha': np.array([0.3, 0.6])},
            'expected a number or a pair (low, high)',
        ),
        ({'patch_selection_method': 'v1', 'thresholds': 3.0}, 'thresholds are 3.0, expected two positive numbers'),
        ({'patch_selection_method': 'budget', 'method': 'sobel'}, "method is 'sobel'"),
        ({'patch_selection_method': 'v1', 'thresholds': [3.0]}, 'thresholds are [3.0], expected two positive numbers'),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        wrapped(**settings)
