import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from predicted_samples import predicted_sample, random_masks

from flmm.visualization import draw_phrases
from flmm.visualization.figures import COLUMNS, attention_map, spotlight_mask


def random_sample(num_masks, *, size=(20, 30), seed=0):
    masks = [random_masks(num_masks, *size, seed=seed + offset) for offset in range(3)]
    attentions = torch.rand(num_masks, 4, 2, 3, generator=torch.Generator().manual_seed(seed))
    return predicted_sample(*masks, attentions=attentions)


def test_spotlight_values():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    mask = random_masks(1, 5, 8)[0]
    shown = spotlight_mask(Image.fromarray(pixels), mask)
    assert shown.shape == (5, 8, 3)
    for row in range(5):
        for column in range(8):
            color = pixels[row, column] / 255
            expected = color if mask[row, column] else np.full(3, 0.35 * color.mean())
            np.testing.assert_allclose(shown[row, column], expected, atol=1e-6)


def test_attention_map_against_plain_computation():
    attentions = torch.rand(6, 3, 4, generator=torch.Generator().manual_seed(0))
    attentions[2] *= 1e-5  # a head that hardly looks at the image counts as much as the others
    grid = np.mean([channel / channel.sum() for channel in attentions.double().numpy()], axis=0)
    smooth = F.interpolate(torch.from_numpy(grid)[None, None], size=(30, 44), mode='bicubic', align_corners=False)[0, 0]
    smooth = smooth.numpy().clip(min=0)

    heat = attention_map(attentions, (30, 44))

    assert heat.shape == (30, 44)
    np.testing.assert_allclose(heat, smooth / smooth.max(), atol=1e-5)
    assert heat.min() >= 0
    assert heat.max() == pytest.approx(1.0)


def test_attention_map_does_not_depend_on_the_scale_of_a_channel():
    attentions = torch.rand(4, 3, 3, generator=torch.Generator().manual_seed(0))
    scaled = attentions * torch.tensor([1.0, 10.0, 1e-3, 1e-6])[:, None, None]
    np.testing.assert_allclose(attention_map(scaled, (9, 9)), attention_map(attentions, (9, 9)), atol=1e-5)


def test_attention_map_finds_the_unit_that_is_looked_at():
    attentions = torch.full((2, 4, 5), 1e-3)
    attentions[:, 3, 1] = 1.0
    heat = attention_map(attentions, (40, 50))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert (row // 10, column // 10) == (3, 1)


def test_attention_map_of_no_attention_is_zero():
    assert np.array_equal(attention_map(torch.zeros(2, 3, 3), (6, 6)), np.zeros((6, 6)))


def test_figure_content():
    sample = random_sample(2)
    truths = sample.gt_masks
    figure = draw_phrases([sample, random_sample(1, seed=5)])

    assert figure.get_size_inches().tolist() == pytest.approx([2.1 * 5, 2.35 * 3])
    axes = np.array(figure.axes).reshape(3, len(COLUMNS))
    titles = [axis.get_title(loc='left') for axis in axes[1]]
    masks = {'coarse': sample.pred_masks[1] > 0, 'refined': sample.sam_pred_masks[1] > 0}
    ious = {name: int((mask & truths[1]).sum()) / int((mask | truths[1]).sum()) for name, mask in masks.items()}
    assert titles == [
        '"phrase 1"', 'attention', f'coarse, IoU {ious["coarse"]:.2f}', f'refined, IoU {ious["refined"]:.2f}', 'truth',
    ]  # fmt: skip
    drawn = [axis.get_images()[0].get_array() for axis in axes[1]]
    np.testing.assert_array_equal(drawn[0], np.asarray(sample.image))
    np.testing.assert_array_equal(drawn[2], spotlight_mask(sample.image, masks['coarse']))
    np.testing.assert_array_equal(drawn[3], spotlight_mask(sample.image, masks['refined']))
    np.testing.assert_array_equal(drawn[4], spotlight_mask(sample.image, truths[1]))
    heat = axes[1][1].get_images()[1].get_array()
    np.testing.assert_array_equal(heat, attention_map(sample.mask_attentions[1], (20, 30)))


def test_max_rows():
    figure = draw_phrases([random_sample(3), random_sample(3, seed=1)], max_rows=4)
    assert len(figure.axes) == 4 * len(COLUMNS)


def test_predictions_with_gradient_can_be_drawn():
    sample = random_sample(1)
    sample.mask_attentions.requires_grad_()
    sample.sam_pred_masks.requires_grad_()
    assert len(draw_phrases([sample]).axes) == len(COLUMNS)


def test_nothing_to_draw():
    with pytest.raises(ValueError, match='draw_phrases got no phrase to draw; pass at least one sample'):
        draw_phrases([])


@pytest.mark.parametrize('field', ['mask_attentions', 'pred_masks', 'sam_pred_masks'])
def test_sample_without_predictions(field):
    sample = random_sample(1)
    setattr(sample, field, None)
    with pytest.raises(ValueError, match=r"sample of 'folder/photo.jpg' holds no predictions; draw what mode='tensor'"):
        draw_phrases([sample])
