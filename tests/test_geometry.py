import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torchvision.ops import masks_to_boxes as torchvision_masks_to_boxes

from flmm.geometry import (
    area_coverage,
    frame_meta_data,
    frame_of_cells,
    image_cells,
    image_to_processed,
    largest_components,
    masks_to_boxes,
    nonempty,
    processed_to_image,
    resample_view,
    whole_cells,
)


def random_logits(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_meta_data_describes_the_frame():
    meta_data = frame_meta_data((100, 50), (84, 28), padding=(10, 18, 0, 28))

    assert meta_data == {
        'original_shape': {'height': 100, 'width': 50},
        'image_shape': {'height': 84, 'width': 28},
        'padding': {'before_height': 10, 'after_height': 18, 'before_width': 0, 'after_width': 28},
        'padded_shape': {'height': 112, 'width': 56},
        'scale_factor': (0.56, 0.84),
    }


def test_meta_data_refuses_impossible_sizes():
    with pytest.raises(ValueError, match='at least 1 px, got original_size=\\(0, 5\\)'):
        frame_meta_data((0, 5), (28, 28))
    with pytest.raises(ValueError, match=r'padding \(-20, -8, 0, 0\) leaves nothing of an image of .* \(28, 28\)'):
        frame_meta_data((28, 28), (28, 28), padding=(-20, -8, 0, 0))


@pytest.mark.parametrize('padding', [(-10, -4, 6, 9), (5, -3, -8, 0), (-2, -2, -2, -2)])
def test_a_frame_that_cuts_the_image_shows_the_rest_of_it(padding):
    top, bottom, left, right = padding
    meta_data = frame_meta_data((40, 60), (80, 120), padding=padding)
    height, width = 80 + top + bottom, 120 + left + right
    assert meta_data['padded_shape'] == {'height': height, 'width': width}
    masks = torch.rand(2, 40, 60, generator=torch.Generator().manual_seed(0)) < 0.5
    enlarged = masks.repeat_interleave(2, 1).repeat_interleave(2, 2)  # [2, 80, 120]
    expected = torch.zeros(2, height, width, dtype=torch.bool)
    for row in range(height):
        for column in range(width):
            if 0 <= row - top < 80 and 0 <= column - left < 120:
                expected[:, row, column] = enlarged[:, row - top, column - left]
    assert torch.equal(image_to_processed(masks, meta_data), expected)

    # And back: a ramp along an axis survives where the frame shows it; what it does not show repeats its border.
    ramp = torch.arange(height).float()[None, :, None].expand(1, height, width)
    found = processed_to_image(ramp, meta_data)
    shown = (torch.arange(80) + top).clamp(max(top, 0), height - 1 - max(bottom, 0)).float()
    torch.testing.assert_close(found[0, :, 0], (shown[::2] + shown[1::2]) / 2, atol=1e-4, rtol=0)


def test_one_view_resampled_to_another_that_shows_the_whole_image_is_an_interpolation():
    values = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    source, target = frame_meta_data((90, 60), (336, 336)), frame_meta_data((90, 60), (672, 448))
    for grid in ((48, 32), (7, 50), (24, 24)):
        expected = F.interpolate(values, size=grid, mode='bilinear', align_corners=False)
        torch.testing.assert_close(resample_view(values, source, target, grid), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize('padding', [(0, 0, 0, 0), (96, 96, 0, 0), (63, 64, 0, 0), (0, 0, 190, 190), (-3, -4, 5, 0)])
@pytest.mark.parametrize('grid', [(24, 24), (64, 64), (7, 50)])
def test_cells_of_the_image_are_those_whose_centre_it_covers(padding, grid):
    top, bottom, left, right = padding
    size = (384 - max(top, 0) - max(bottom, 0), 384 - max(left, 0) - max(right, 0))
    meta_data = frame_meta_data((50, 60), size, padding=padding)
    frame = meta_data['padded_shape']
    rows, columns = image_cells(meta_data, grid)
    for found, cells, before, length, side in (
        (rows, grid[0], top, size[0], frame['height']),
        (columns, grid[1], left, size[1], frame['width']),
    ):
        centres = [(cell + 0.5) * side / cells for cell in range(cells)]
        expected = [cell for cell, centre in enumerate(centres) if before <= centre < before + length]
        assert list(range(cells))[found] == expected or (not expected and found.stop - found.start == 1)


@pytest.mark.parametrize(
    ('padding', 'length', 'cells', 'expected'),
    [
        ((167, 168), 1, 24, 11),  # px 167 alone, cells of 14 px: the last px of cell 11
        ((168, 167), 1, 24, 12),
        ((160, 165), 11, 24, 11),  # 8 px in cell 11, 3 in cell 12
        ((165, 160), 11, 24, 12),  # 3 and 8
        ((0, 334), 2, 24, 0),
        ((334, 0), 2, 24, 23),
        ((-4, 334), 6, 24, 0),  # the frame cuts 4 px off
    ],
)
def test_a_sliver_of_an_image_has_the_cell_that_shows_most_of_it(padding, length, cells, expected):
    down = frame_meta_data((1, 400), (length, 336), padding=(*padding, 0, 0))
    assert image_cells(down, (cells, 20)) == (slice(expected, expected + 1), slice(0, 20))
    across = frame_meta_data((400, 1), (336, length), padding=(0, 0, *padding))
    assert image_cells(across, (20, cells)) == (slice(0, 20), slice(expected, expected + 1))


@pytest.mark.parametrize('padding', [(63, 64, 0, 0), (0, 0, 150, 31), (-3, -4, 5, 0)])
@pytest.mark.parametrize('grid', [(24, 24), (7, 50)])
def test_the_frame_of_some_cells_has_every_place_of_the_image_where_it_was(padding, grid):
    whole = frame_meta_data((50, 60), (257, 203), padding=padding)
    cells = (slice(2, 6), slice(3, grid[1] - 1))
    cut = frame_of_cells(whole, grid, cells)
    for axis, number, kept in zip(('height', 'width'), grid, cells, strict=True):
        for place in (0.0, 0.3, 1.0):  # from end to end of the image
            found, before = (
                (place * frame['image_shape'][axis] + frame['padding'][f'before_{axis}']) / frame['padded_shape'][axis]
                for frame in (cut, whole)
            )
            assert found * (kept.stop - kept.start) == pytest.approx(before * number - kept.start, abs=1e-9)


@pytest.mark.parametrize(
    ('padding', 'length', 'grid', 'expected'),
    [  # by hand: begin * cells / 336, rounded down; length * cells / 336, rounded
        ((42, 42), 252, 64, (8, 56)),  # 8 and 48
        ((56, 56), 224, 64, (10, 53)),  # 10.67 and 42.67
        ((57, 57), 222, 64, (10, 52)),  # 10.86 and 42.29
        ((73, 74), 189, 64, (13, 49)),  # 13.9 and 36
        ((0, 0), 336, 64, (0, 64)),
        ((-3, -4), 343, 64, (0, 64)),  # more than the frame
        ((167, 168), 1, 16, (7, 8)),  # less than half a cell
    ],
)
def test_whole_cells_begin_rounded_down_and_are_a_rounded_number(padding, length, grid, expected):
    meta_data = frame_meta_data((50, 60), (length, 336), padding=(*padding, 0, 0))
    assert whole_cells(meta_data, (grid, 20)) == (slice(*expected), slice(0, 20))
    across = frame_meta_data((50, 60), (336, length), padding=(0, 0, *padding))
    assert whole_cells(across, (20, grid)) == (slice(0, 20), slice(*expected))


def test_views_with_padding_meet_at_the_same_place_of_the_image():
    source = frame_meta_data((100, 50), (200, 100), padding=(0, 0, 50, 50))  # 200 x 200 px
    target = frame_meta_data((100, 50), (60, 30), padding=(-5, 0, 0, 3))  # 55 x 33 px
    columns = torch.arange(20).float().expand(1, 1, 20, 20)
    found = resample_view(columns, source, target, (11, 33))
    for column in range(33):
        in_image = (column + 0.5) / 30  # of the width of the image
        in_source = (in_image * 100 + 50) / 200 * 20 - 0.5
        torch.testing.assert_close(found[0, 0, :, column], torch.full((11,), in_source), atol=1e-4, rtol=0)
    assert torch.equal(resample_view(columns.bfloat16(), source, target, (11, 33)), found)  # places need all digits


def test_processed_to_image_without_padding_is_one_bilinear_resize():
    logits = random_logits(3, 8, 6)

    resized = processed_to_image(logits, frame_meta_data((123, 77), (224, 168)))

    expected = F.interpolate(logits[None], size=(123, 77), mode='bilinear', align_corners=False)[0]
    torch.testing.assert_close(resized, expected, rtol=0, atol=1e-6)


def test_processed_to_image_crops_aligned_padding_on_the_grid():
    logits = random_logits(2, 8, 8)
    meta_data = frame_meta_data((90, 120), (112, 168), padding=(56, 56, 28, 28))  # 28 px per cell

    resized = processed_to_image(logits, meta_data)

    expected = F.interpolate(logits[None, :, 2:6, 1:7], size=(90, 120), mode='bilinear', align_corners=False)[0]
    torch.testing.assert_close(resized, expected, rtol=0, atol=1e-6)


def test_processed_to_image_crops_unaligned_padding_on_pixels():
    logits = random_logits(2, 4, 4)
    meta_data = frame_meta_data((50, 60), (90, 112), padding=(10, 12, 0, 0))  # a border at 10 px, cells of 28 px

    resized = processed_to_image(logits, meta_data)

    frame = F.interpolate(logits[None], size=(112, 112), mode='bilinear', align_corners=False)
    expected = F.interpolate(frame[:, :, 10:100], size=(50, 60), mode='bilinear', align_corners=False)[0]
    torch.testing.assert_close(resized, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize('grid', [(4, 4), (5, 7), (64, 64), (112, 112)])
def test_processed_to_image_returns_a_linear_ramp_to_its_place(grid):
    """Bilinear resampling is exact on a ramp away from the borders: what was written at x is found at x."""
    meta_data = frame_meta_data((180, 90), (112, 56), padding=(0, 0, 20, 36))
    frame_x = (torch.arange(grid[1]) + 0.5) * 112 / grid[1]
    logits = frame_x.expand(1, *grid)

    resized = processed_to_image(logits, meta_data)

    image_x = (torch.arange(90) + 0.5) * 56 / 90 + 20
    inner = (image_x > 36) & (image_x < 60)
    torch.testing.assert_close(resized[0, 90, inner], image_x[inner], rtol=0, atol=1e-3)


def test_processed_to_image_is_differentiable_and_takes_no_masks():
    meta_data = frame_meta_data((10, 10), (28, 28))
    logits = random_logits(1, 4, 4).requires_grad_()

    processed_to_image(logits, meta_data).sum().backward()

    torch.testing.assert_close(logits.grad.sum(), torch.tensor(100.0))
    assert processed_to_image(torch.zeros(0, 4, 4), meta_data).shape == (0, 10, 10)
    with pytest.raises(ValueError, match='logits must be \\[N, h, w\\], got shape \\(4, 4\\)'):
        processed_to_image(torch.zeros(4, 4), meta_data)


def test_image_to_processed_takes_the_pixel_under_the_centre():
    masks = random_logits(2, 45, 100) > 0

    processed = image_to_processed(masks, frame_meta_data((45, 100), (56, 84), padding=(28, 0, 0, 28)))

    rows = ((torch.arange(56) + 0.5) * 45 / 56).floor().long()
    columns = ((torch.arange(84) + 0.5) * 100 / 84).floor().long()
    expected = torch.zeros(2, 84, 112, dtype=torch.bool)
    expected[:, 28:, :84] = masks[:, rows][:, :, columns]
    assert torch.equal(processed, expected)


def test_image_to_processed_keeps_thin_structures():
    masks = torch.zeros(1, 300, 300, dtype=torch.bool)
    masks[:, :, ::10] = True  # lines 1 px wide, a third of a target pixel

    processed = image_to_processed(masks, frame_meta_data((300, 300), (84, 84)))

    assert processed.float().mean().item() == pytest.approx(0.1, abs=0.03)


def test_image_to_processed_checks_its_masks():
    meta_data = frame_meta_data((10, 20), (28, 56))

    with pytest.raises(ValueError, match=r'must be bool \[N, IH, IW\], got torch.float32'):
        image_to_processed(torch.zeros(1, 10, 20), meta_data)
    with pytest.raises(ValueError, match=r'size \(20, 10\) do not lie in the image frame \(10, 20\)'):
        image_to_processed(torch.zeros(1, 20, 10, dtype=torch.bool), meta_data)
    assert image_to_processed(torch.zeros(0, 10, 20, dtype=torch.bool), meta_data).shape == (0, 28, 56)


def test_area_coverage_is_the_mean_over_each_cell():
    masks = torch.rand(3, 24, 36, generator=torch.Generator().manual_seed(0)) > 0.6
    coverage = area_coverage(masks, (4, 9))
    expected = masks.double().reshape(3, 4, 6, 9, 4).mean(dim=(2, 4))
    assert torch.allclose(coverage.double(), expected, atol=1e-7)
    # 3 px in 2 cells: the one in the middle counts for both.
    assert area_coverage(masks[:, :, :3], (24, 2))[0, :, 0].double().equal(masks[0, :, :2].double().mean(dim=1))


def test_boxes_equal_torchvisions():
    masks = random_logits(50, 23, 31) > 2.3
    masks = masks[masks.any(dim=2).any(dim=1)]
    assert len(masks) > 40

    assert torch.equal(masks_to_boxes(masks), torchvision_masks_to_boxes(masks))


def test_box_of_an_empty_mask_is_that_of_a_full_one():
    masks = torch.stack([torch.zeros(5, 7, dtype=torch.bool), torch.ones(5, 7, dtype=torch.bool)])

    assert masks_to_boxes(masks).tolist() == [[0, 0, 6, 4]] * 2
    assert masks_to_boxes(masks[:0]).shape == (0, 4)


def test_which_masks_have_a_pixel():
    masks = random_logits(50, 23, 31) > 3.4
    assert 5 < nonempty(masks).sum() < 45

    assert nonempty(masks).equal(masks.any(dim=2).any(dim=1))
    assert nonempty(masks.transpose(1, 2)).equal(nonempty(masks))
    assert nonempty(masks[:0]).shape == (0,)


@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
def test_masks_of_other_numbers_are_refused(dtype):
    for of_masks in (nonempty, masks_to_boxes):
        with pytest.raises(ValueError, match=rf'^masks are of {dtype}, expected torch\.bool$'):
            of_masks(torch.ones(1, 4, 4, dtype=dtype))


def test_the_largest_component_of_a_mask_is_kept():
    masks = torch.zeros(4, 6, 8, dtype=torch.bool)
    masks[0, 0, 0], masks[0, 3:5, 4:7] = True, True
    masks[1, 0, :3] = masks[1, 2, 5] = masks[1, 3, 6] = masks[1, 4, 7] = masks[1, 5, 7] = True  # 3 px, and 4 by corners
    masks[2, 2:4, 1] = masks[2, 2:4, 6] = True  # equal ones: the first
    expected = masks.clone()
    expected[0, 0, 0] = expected[1, 0] = expected[2, :, 6] = False
    assert torch.equal(largest_components(masks), expected)
    assert largest_components(masks[:0]).shape == (0, 6, 8)


def test_components_of_random_masks_are_those_of_each_alone():
    masks = random_logits(20, 23, 31) > 0.8
    for mask, found in zip(masks, largest_components(masks), strict=True):
        labels, number = ndimage.label(mask.numpy(), structure=torch.ones(3, 3).numpy())
        sizes = [(labels == 1 + i).sum() for i in range(number)]
        assert found.sum() == max(sizes)
        assert not (found & ~mask).any()
        assert ndimage.label(found.numpy(), structure=torch.ones(3, 3).numpy())[1] == 1
