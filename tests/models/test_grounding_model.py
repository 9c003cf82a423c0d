"""How the padding around an image is cut off the coarse logits: at its border, or as F-LMM does."""

import pytest
import torch
import torch.nn.functional as F
from tiny_families import build_grounder, build_wrapper, make_sample
from tiny_samples import with_coarse

from flmm.geometry import processed_to_image

SIZE = (427, 640)  # of 64 rows 10.67 are padding above, then 42.67 the image: F-LMM takes 10 to 52


def grounded(**settings):
    head = {'type': 'flmm.UNetHead', 'base_channels': 4, 'upsample_input': 64}
    model = build_grounder('llava', mask_head=head, **settings)
    sample = make_sample(build_wrapper('llava'), ['a', 'the cat'], size=SIZE)
    (found,) = model._ground([sample], model.encode([sample]))
    return model, found, found.coarse.small


def test_whole_cells_are_laid_over_the_image():
    _, found, logits = grounded(padding_cut='whole_cells')
    assert logits.shape == (2, 64, 64)
    expected = F.interpolate(logits[:, None, 10:53], size=SIZE, mode='bilinear', align_corners=False)[:, 0]
    torch.testing.assert_close(found.pred_masks, expected, atol=1e-5, rtol=0)


def test_the_border_of_the_image_is_the_default():
    model, found, logits = grounded()
    assert model.padding_cut == 'exact'
    assert torch.equal(found.pred_masks, processed_to_image(logits, found.meta_data))


def test_the_coarse_loss_of_whole_cells_is_that_of_the_image_laid_over_them():
    model, found, logits = grounded(padding_cut='whole_cells')
    target = F.interpolate(found.gt_masks[None].float(), size=(43, 64), mode='area')[0]
    expected = F.binary_cross_entropy_with_logits(logits[:, 10:53], target)
    losses = model._losses([found])
    torch.testing.assert_close(losses['loss_mask'], expected)
    changed = logits.clone()
    changed[:, :10], changed[:, 53:] = 9.0, 9.0  # padding counts for nothing
    torch.testing.assert_close(model._losses([with_coarse(found, changed)]), losses)


def test_another_cut_is_refused():
    with pytest.raises(ValueError, match="padding_cut is 'none', expected 'exact' or 'whole_cells'"):
        build_grounder('llava', padding_cut='none')
