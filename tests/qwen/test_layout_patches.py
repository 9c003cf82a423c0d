"""Patches of a dense grid by a layout: what the adaptive image processor makes of the image itself."""

import pytest
import torch
from tiny_adaptive import adaptive_processor, half_smooth_image

from flmm.apt import TokenLayout
from flmm.qwen.layout_patches import patches_of_layout


@pytest.mark.parametrize('family', ['qwen2_5_vl', 'qwen3_vl'])
@pytest.mark.parametrize('size', [(300, 200), (140, 420)])
def test_it_equals_the_adaptive_processor(family, size):
    image = half_smooth_image(size)
    processor = adaptive_processor(family).image_processor
    dense = processor(images=image, patch_selection_method='none', return_tensors='pt')
    pruned = processor(images=image, patch_selection_method='budget', alpha=0.4, return_tensors='pt')
    h, w = (dense['image_grid_thw'][0, 1:] // 2).tolist()
    layout = TokenLayout(tokens=pruned['image_layout'], grid_size=(h, w))
    assert set(layout.tokens[:, 2].tolist()) == {1, 2, 4}
    found = patches_of_layout(dense['pixel_values'], layout, merge_size=2)
    torch.testing.assert_close(found, pruned['pixel_values'], rtol=0, atol=1e-5)


def test_the_dense_layout_changes_nothing():
    dense = torch.randn(4 * 15, 3 * 2 * 14 * 14).reshape(60, 3, 2, 196)
    dense[:, :, 1] = dense[:, :, 0]  # the frames of an image are alike
    dense = dense.flatten(1)
    assert torch.equal(patches_of_layout(dense, TokenLayout.dense((3, 5)), merge_size=2), dense)
