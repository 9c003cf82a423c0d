"""A layout around a region: fine in it, coarse around it, by a number of tokens."""

import pytest
import torch

from flmm.apt import TokenLayout, region_layout

GRIDS = [(16, 16), (11, 7), (4, 4), (3, 9), (1, 5)]


def sizes(layout):
    """[h, w], the size of the token that covers each unit."""
    return layout.to_dense(layout.tokens[:, 2].float(), mode='copy')


def fewest_tokens(grid_size, rows, columns):
    """Count by hand: the largest tokens that do not touch the region, from the largest size down."""
    h, w = grid_size
    free = torch.ones(h, w, dtype=torch.bool)
    region = torch.zeros(h, w, dtype=torch.bool)
    region[slice(*rows), slice(*columns)] = True
    count = 0
    for size in (4, 2, 1):
        for top in range(0, h - size + 1, size):
            for left in range(0, w - size + 1, size):
                square = (slice(top, top + size), slice(left, left + size))
                if free[square].all() and (size == 1 or not region[square].any()):
                    free[square] = False
                    count += 1
    return count


@pytest.mark.parametrize('grid_size', GRIDS)
def test_the_region_is_covered_by_single_units_whatever_the_number_of_tokens(grid_size):
    h, w = grid_size
    generator = torch.Generator().manual_seed(h)
    for _ in range(30):
        rows, columns = (
            tuple(torch.randperm(side + 1, generator=generator)[:2].sort().values.tolist()) for side in grid_size
        )
        for num_tokens in (1, h * w // 2, h * w):
            layout = region_layout(grid_size, rows=rows, columns=columns, num_tokens=num_tokens)
            layout.check()
            assert (sizes(layout)[slice(*rows), slice(*columns)] == 1).all()


@pytest.mark.parametrize('grid_size', GRIDS)
def test_without_tokens_to_spare_all_else_is_as_coarse_as_it_can_be(grid_size):
    h, w = grid_size
    rows, columns = (h // 3, h // 3 + 1), (w // 2, w)
    layout = region_layout(grid_size, rows=rows, columns=columns, num_tokens=1)
    assert len(layout) == fewest_tokens(grid_size, rows, columns)


def test_as_many_tokens_as_asked_for_up_to_two():
    for num_tokens in range(40, 257):
        layout = region_layout((16, 16), rows=(5, 8), columns=(9, 11), num_tokens=num_tokens)
        assert num_tokens - 2 <= len(layout) <= num_tokens


def test_what_is_left_goes_to_what_is_near():
    """Outside of the region no coarse token is nearer to it than one that was split, beyond the size of a token."""
    layout = region_layout((16, 16), rows=(4, 6), columns=(8, 10), num_tokens=100)
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing='ij')
    distance = torch.hypot((rows - 4.5).abs() - 0.5, (columns - 8.5).abs() - 0.5)
    fine, coarse = sizes(layout) == 1, sizes(layout) == 4
    assert distance[coarse].min() > distance[fine].median()
    assert distance[fine].max() < distance[coarse].max()


def test_a_number_that_covers_every_unit_is_the_dense_layout():
    layout = region_layout((5, 6), rows=(1, 2), columns=(0, 1), num_tokens=30)
    assert torch.equal(layout.tokens, TokenLayout.dense((5, 6)).tokens)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'rows': (2, 2)}, r'rows of the region are \(2, 2\), expected 0 <= first < end <= 5, those of the grid'),
        ({'rows': (-1, 2)}, r'rows of the region are \(-1, 2\)'),
        ({'columns': (2, 7)}, r'columns of the region are \(2, 7\), expected 0 <= first < end <= 6'),
    ],
)
def test_a_region_outside_of_the_grid(changes, message):
    with pytest.raises(ValueError, match=message):
        region_layout((5, 6), **{'rows': (0, 1), 'columns': (0, 1), 'num_tokens': 9} | changes)
