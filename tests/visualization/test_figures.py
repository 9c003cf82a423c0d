from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image
from predicted_samples import predicted_sample, random_masks

from flmm.geometry import frame_meta_data
from flmm.visualization import draw_heads, draw_phrases, phrase_page, save_figure
from flmm.visualization.figures import attention_map, shrunk_image, spotlight_mask

COLUMNS = ('image', 'attention', 'coarse', 'refined', 'truth')
WHOLE = frame_meta_data((1, 1), (1, 1))
"""A frame that shows an image of any size whole and alone."""


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

    heat = attention_map(attentions, WHOLE, (30, 44))

    assert heat.shape == (30, 44)
    np.testing.assert_allclose(heat, smooth / smooth.max(), atol=1e-5)
    assert heat.min() >= 0
    assert heat.max() == pytest.approx(1.0)


def test_attention_map_does_not_depend_on_the_scale_of_a_channel():
    attentions = torch.rand(4, 3, 3, generator=torch.Generator().manual_seed(0))
    scaled = attentions * torch.tensor([1.0, 10.0, 1e-3, 1e-6])[:, None, None]
    found, expected = (attention_map(each, WHOLE, (9, 9)) for each in (scaled, attentions))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_attention_map_finds_the_unit_that_is_looked_at():
    attentions = torch.full((2, 4, 5), 1e-3)
    attentions[:, 3, 1] = 1.0
    heat = attention_map(attentions, WHOLE, (40, 50))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert (row // 10, column // 10) == (3, 1)


def test_attention_map_is_laid_over_the_image_without_the_padding():
    """An image of 100 x 200 px in the middle of a square of 8 x 8 cells, of which it covers four rows."""
    frame = frame_meta_data((100, 200), (48, 96), (24, 24, 0, 0))
    grid = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    grid[:, 1], grid[:, 6] = 20.0, 30.0  # sinks in the padding, next to the image
    expected = attention_map(grid[:, 2:6], WHOLE, (20, 40))
    np.testing.assert_allclose(attention_map(grid, frame, (20, 40)), expected, atol=1e-5)

    # Where the image begins and ends within cells: 21 px down in one of 24 px, and 20 px up in another.
    odd = frame_meta_data((100, 200), (151, 192), (21, 20, 0, 0))
    ramp = torch.arange(8.0)[:, None].expand(1, 8, 8).clone()
    ramp[:, 0] = ramp[:, 7] = 1e3
    heat = attention_map(ramp, odd, (302, 8))[:, 3]  # every px of the frame is two here
    places = (21 + (np.arange(302) + 0.5) / 2) / 24 - 0.5
    inner = (places > 2) & (places < 5)
    np.testing.assert_allclose(heat[inner] / heat[inner][0], places[inner] / places[inner][0], rtol=0.03)  # bicubic
    assert heat.argmax() > 250

    at = torch.full((2, 8, 8), 1e-3)
    at[:, 0, 0] = 1.0  # a sink in the padding
    at[:, 5, 6] = 0.1
    heat = attention_map(at, frame, (40, 80))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert (row // 10, column // 10) == (3, 6)


def test_attention_map_of_half_precision():
    attentions = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert np.array_equal(attention_map(attentions, WHOLE, (9, 9)), attention_map(attentions.float(), WHOLE, (9, 9)))


def test_attention_map_of_no_attention_is_zero():
    assert np.array_equal(attention_map(torch.zeros(2, 3, 3), WHOLE, (6, 6)), np.zeros((6, 6)))


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
    np.testing.assert_array_equal(heat, attention_map(sample.mask_attentions[1], sample.meta_data, (20, 30)))


def test_max_rows():
    figure = draw_phrases([random_sample(3), random_sample(3, seed=1)], max_rows=4)
    assert len(figure.axes) == 4 * len(COLUMNS)


def test_predictions_with_gradient_can_be_drawn():
    sample = random_sample(1)
    sample.mask_attentions.requires_grad_()
    sample.refined.small.requires_grad_()
    assert sample.sam_pred_masks.requires_grad
    assert len(draw_phrases([sample]).axes) == len(COLUMNS)


def test_nothing_to_draw():
    with pytest.raises(ValueError, match='draw_phrases got no phrase to draw; pass at least one sample'):
        draw_phrases([])


@pytest.mark.parametrize('field', ['mask_attentions', 'coarse', 'refined'])
def test_sample_without_predictions(field):
    sample = random_sample(1)
    setattr(sample, field, None)
    with pytest.raises(ValueError, match=r"sample of 'folder/photo.jpg' holds no predictions; draw what mode='tensor'"):
        draw_phrases([sample])


def test_a_page_says_how_many_phrases_are_left_out():
    figure = draw_phrases([random_sample(20), random_sample(10, seed=1)])
    assert len(figure.axes) == 24 * len(COLUMNS)
    assert figure.get_supxlabel() == '6 more phrases are not shown'
    assert figure.get_size_inches().tolist() == pytest.approx([2.1 * 5, 2.35 * 24 + 0.3])
    assert draw_phrases([random_sample(3)], max_rows=2).get_supxlabel() == '1 more phrase is not shown'
    assert draw_phrases([random_sample(3)], max_rows=3).get_supxlabel() == ''


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize(
    'phrase', ['Ba$$in', 'the $5 and the $10', r'$\frac{1}{', '$x^2$', 'a_b^c', '狗和猫', '😀 👩\u200d👧', '%', '{}']
)
def test_phrases_are_drawn_as_they_are(phrase, tmp_path):
    sample = random_sample(1)
    sample.phrases = [phrase]
    figure = draw_phrases([sample])
    save_figure(figure, tmp_path / 'drawn.png')
    assert figure.axes[0].get_title(loc='left') == f'"{phrase}"'
    assert mathtext_of(figure) == []
    figure = draw_heads(sample, heads={0: [0, 1], 3: [2, 5]})
    save_figure(figure, tmp_path / 'heads.png')
    assert figure.get_suptitle().startswith(f'"{phrase}"')
    assert mathtext_of(figure) == []


def mathtext_of(figure):
    """Texts of the figure that matplotlib would not draw as they are."""
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    return [
        text.get_text() for text in texts if (text.get_parse_math() or text.get_usetex()) and '"' in text.get_text()
    ]


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('phrase', ['星' * 300, 'https://' + 'w' * 300, 'W' * 20000, 'word ' * 100, 'x\ud83d\x00\x07'])
@pytest.mark.parametrize('size', [(20, 30), (60, 20)])
def test_no_phrase_reaches_into_the_next_column(phrase, size):
    sample = random_sample(1, size=size)
    sample.phrases = [phrase]
    figure = draw_phrases([sample])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    first, second = (axis._left_title.get_window_extent(canvas.get_renderer()) for axis in figure.axes[:2])
    assert first.x1 < second.x0
    assert first.y1 <= figure.bbox.y1
    assert figure.axes[0].get_title(loc='left').endswith('…') == (len(phrase) > 4)


def test_without_truth_there_is_neither_iou_nor_truth():
    sample = random_sample(2)
    sample.masks = sample.gt_masks = None
    figure = draw_phrases([sample])
    assert figure.get_size_inches().tolist() == pytest.approx([2.1 * 4, 2.35 * 2])
    titles = [axis.get_title(loc='left') for axis in figure.axes]
    assert titles == [
        '"phrase 0"', 'attention', 'coarse', 'refined', '"phrase 1"', 'attention', 'coarse', 'refined'
    ]  # fmt: skip


def test_a_page_of_samples_with_and_without_truth():
    without = random_sample(1)
    without.masks = without.gt_masks = None
    rows = np.array(draw_phrases([random_sample(1), without]).axes).reshape(2, 5)
    assert [len(row[4].get_images()) for row in rows] == [1, 0]
    assert [axis.get_title(loc='left') for axis in rows[1]] == [
        '"phrase 0"', 'attention', 'coarse', 'refined', 'truth not known'
    ]  # fmt: skip
    assert rows[0][3].get_title(loc='left').startswith('refined, IoU 0.')


def test_a_page_keeps_little_of_a_large_image_and_shows_its_smallest_mask():
    masks = torch.zeros(1, 1500, 2000, dtype=torch.bool)
    masks[0, 700, 1000] = True
    sample = predicted_sample(masks, masks, ~masks, attentions=torch.rand(1, 4, 2, 3))
    (row,) = phrase_page([sample]).rows
    assert row.image.size == (300, 225)
    assert row.heat.shape == (225, 300)
    assert {name: (mask.shape, int(mask.sum())) for name, mask in row.masks.items()} == {
        'coarse': ((225, 300), 1), 'refined': ((225, 300), 225 * 300), 'truth': ((225, 300), 1),
    }  # fmt: skip
    assert row.ious == {'coarse': 1.0, 'refined': 0.0}
    assert sample.image.size == (2000, 1500)


def test_heads_are_drawn_view_after_view():
    sample = random_sample(2)  # four maps
    axes = draw_heads(sample, heads={0: [1], 3: [2]}, mask_id=1).axes
    assert [axis.get_title() for axis in axes] == ['view 0: 0.1', 'view 0: 3.2', 'view 1: 0.1', 'view 1: 3.2']
    for axis, expected in zip(axes, sample.mask_attentions[1], strict=True):
        np.testing.assert_array_equal(axis.get_images()[0].get_array(), expected)
    axes = draw_heads(sample, heads={0: [0, 1], 3: [2, 5]}).axes
    assert [axis.get_title() for axis in axes] == ['0.0', '0.1', '3.2', '3.5']


def test_a_sample_without_image_or_attention_is_named():
    sample = random_sample(1)
    sample.image = None
    with pytest.raises(ValueError, match=r"sample of 'folder/photo.jpg' holds no image"):
        draw_phrases([sample])
    sample.mask_attentions = None
    with pytest.raises(ValueError, match=r"sample of 'folder/photo.jpg' holds no attention; draw what mode='tensor'"):
        draw_heads(sample, heads={0: [0]})


def test_what_is_not_there_is_said_and_has_no_iou():
    sample = random_sample(2)
    truths = sample.gt_masks.clone()
    truths[1] = False
    judged = replace(sample, gt_masks=truths, exists=torch.tensor([False, False]), existence=torch.tensor([0.2, 0.1]))

    axes = np.array(draw_phrases([judged]).axes).reshape(2, len(COLUMNS))

    titles = [[axis.get_title(loc='left') for axis in row[2:]] for row in axes]
    assert titles == [
        ['coarse, IoU 0.00, not there', 'refined, IoU 0.00, not there', 'truth'],
        ['coarse, not there', 'refined, not there', 'truth, not there'],
    ]


def test_images_are_shrunk_never_enlarged():
    image = Image.new('RGB', (3000, 1500))
    assert shrunk_image(image, 1000).size == (1000, 500)
    assert image.size == (3000, 1500)
    assert shrunk_image(Image.new('RGB', (30, 15)), 1000).size == (30, 15)
    assert shrunk_image(Image.new('RGB', (5000, 1)), 1000).size == (1000, 1)
