"""TokenLayout against plain loops over tokens and units."""

import re

import pytest
import torch
from tiny_layouts import random_layout

from flmm.apt import PatchSelection, PatchTokenizer
from flmm.apt.layout import TokenLayout

GRIDS = [(1, 1), (2, 3), (4, 4), (7, 9), (12, 5), (13, 16)]


def layout(tokens: list, grid_size: tuple[int, int]) -> TokenLayout:
    return TokenLayout(tokens=torch.tensor(tokens), grid_size=grid_size)


@pytest.mark.parametrize('grid_size', GRIDS)
def test_dense_is_one_token_a_unit_row_by_row(grid_size):
    found = TokenLayout.dense(grid_size)
    h, w = grid_size
    assert found.tokens.tolist() == [[row, column, 1] for row in range(h) for column in range(w)]
    assert found.is_dense
    assert len(found) == h * w
    found.check()


@pytest.mark.parametrize('grid_size', GRIDS)
def test_layouts_that_cover_each_unit_once_pass_the_check(grid_size):
    for seed in range(3):
        found = random_layout(grid_size, seed=seed)
        covered = torch.zeros(grid_size, dtype=torch.long)
        for top, left, size in found.tokens.tolist():
            covered[top : top + size, left : left + size] += 1
        assert (covered == 1).all()
        found.check()


@pytest.mark.parametrize(
    ('tokens', 'grid_size', 'message'),
    [
        ([[0, 0], [0, 1]], (1, 2), 'image layout is (2, 2) torch.int64, expected (tokens, 3) long'),
        ([[0.0, 0.0, 1.0]], (1, 1), 'image layout is (1, 3) torch.float32, expected (tokens, 3) long'),
        ([[0, 0, 3]], (3, 3), 'token 0 (top, left, size = [0, 0, 3]) has a size other than (1, 2, 4)'),
        ([[0, 0, 1], [0, 1, 2]], (2, 2), 'token 1 (top, left, size = [0, 1, 2]) reaches outside the grid of 2x2 units'),
        ([[-1, 0, 1]], (1, 1), 'token 0 (top, left, size = [-1, 0, 1]) reaches outside the grid of 1x1 units'),
        ([[0, 1, 2]], (2, 3), 'token 0 (top, left, size = [0, 1, 2]) does not lie at a multiple of its size'),
        ([[0, 1, 1], [0, 0, 1]], (1, 2), 'token 1 (top, left, size = [0, 0, 1]) is out of order; sort by (top, left)'),
        ([[0, 0, 1]], (1, 2), 'image layout covers unit (row 0, column 1) 0 times; each unit of the grid must be'),
        ([[0, 0, 2], [1, 0, 1]], (2, 2), 'image layout covers unit (row 1, column 0) 2 times'),
    ],
)
def test_what_is_no_layout_is_refused_by_token(tokens, grid_size, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        layout(tokens, grid_size).check()


def test_masks_of_another_merge_size_are_refused():
    fine = torch.ones(1, 8, 8, dtype=torch.bool)
    fine[:, :2, 2:4] = False
    half = torch.zeros(1, 4, 4, dtype=torch.bool)
    half[0, 0, 1] = True
    masks = {14: fine, 28: half, 56: torch.zeros(1, 2, 2, dtype=torch.bool)}
    (layout,) = TokenLayout.from_masks(masks, merge_size=1)
    layout.check()
    with pytest.raises(ValueError, match='masks of 28 px do not select 2x2 patches together; select with merge_size=2'):
        TokenLayout.from_masks(masks, merge_size=2)


@pytest.mark.parametrize('merge_size', [1, 2])
def test_masks_of_a_batch_become_its_layouts(merge_size):
    layouts = [random_layout((6, 9), seed=seed) for seed in range(4)]
    rows, columns = 6 * merge_size, 9 * merge_size
    masks = {14 * size: torch.zeros(4, -(-rows // size), -(-columns // size), dtype=torch.bool) for size in (1, 2, 4)}
    for image, expected in enumerate(layouts):
        for top, left, size in expected.tokens.tolist():
            for i in range(merge_size):
                for j in range(merge_size):
                    masks[14 * size][image, top * merge_size // size + i, left * merge_size // size + j] = True
    for found, expected in zip(TokenLayout.from_masks(masks, merge_size=merge_size), layouts, strict=True):
        assert found.grid_size == expected.grid_size
        assert torch.equal(found.tokens, expected.tokens)


@pytest.mark.parametrize('grid_size', GRIDS)
def test_centres_are_means_over_the_units(grid_size):
    found = random_layout(grid_size, seed=1)
    for (top, left, size), centre in zip(found.tokens.tolist(), found.centres().tolist(), strict=True):
        rows, columns = range(top, top + size), range(left, left + size)
        assert centre == [sum(rows) / size, sum(columns) / size]


@pytest.mark.parametrize('merge_size', [1, 2])
def test_patch_centres_are_means_over_the_patches_of_14_px(merge_size):
    found = random_layout((5, 9), seed=2)
    expected = []
    for top, left, size in found.tokens.tolist():
        for i in range(merge_size):
            for j in range(merge_size):
                rows = range(top * merge_size + i * size, top * merge_size + (i + 1) * size)
                columns = range(left * merge_size + j * size, left * merge_size + (j + 1) * size)
                expected.append([sum(rows) / size, sum(columns) / size])
    assert found.patch_centres(merge_size=merge_size).tolist() == expected


@pytest.mark.parametrize('grid_size', GRIDS)
def test_windows_hold_the_tokens_of_their_square(grid_size):
    found = random_layout(grid_size, seed=3)
    order, lengths = found.windows(4)
    expected = []
    for first_row in range(0, grid_size[0], 4):
        for first_column in range(0, grid_size[1], 4):
            inside = [
                index
                for index, (top, left, _) in enumerate(found.tokens.tolist())
                if first_row <= top < first_row + 4 and first_column <= left < first_column + 4
            ]
            expected.append(inside)
    assert [part.tolist() for part in order.split(lengths.tolist())] == expected


def test_a_token_larger_than_a_window_is_refused():
    message = 'token 0 (top, left, size = [0, 0, 4]) does not fit into an attention window of 2x2 units'
    with pytest.raises(ValueError, match=re.escape(message)):
        layout([[0, 0, 4]], (4, 4)).windows(2)


@pytest.mark.parametrize('grid_size', GRIDS)
@pytest.mark.parametrize('mode', ['spread', 'copy'])
def test_to_dense_fills_each_token_s_units(grid_size, mode):
    found = random_layout(grid_size, seed=4)
    values = torch.rand(2, 3, len(found), generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(2, 3, *grid_size, dtype=torch.float64)
    for index, (top, left, size) in enumerate(found.tokens.tolist()):
        share = size * size if mode == 'spread' else 1
        expected[..., top : top + size, left : left + size] = values[..., index].double()[..., None, None] / share
    torch.testing.assert_close(found.to_dense(values, mode=mode).double(), expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize('grid_size', GRIDS)
def test_spreading_conserves_mass_and_to_tokens_undoes_it(grid_size):
    found = random_layout(grid_size, seed=5)
    values = torch.rand(7, len(found), generator=torch.Generator().manual_seed(1)).softmax(dim=-1)
    dense = found.to_dense(values)
    torch.testing.assert_close(dense.sum(dim=(-2, -1)), values.sum(dim=-1), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.to_tokens(dense), values, atol=1e-6, rtol=0)


def test_to_tokens_adds_up_units():
    found = layout([[0, 0, 2], [0, 2, 1], [1, 2, 1]], (2, 3))
    assert found.to_tokens(torch.arange(6.0).reshape(2, 3)).tolist() == [0.0 + 1 + 3 + 4, 2.0, 5.0]


def test_dense_layouts_keep_values_as_they_are():
    values = torch.rand(2, 12)
    assert torch.equal(TokenLayout.dense((3, 4)).to_dense(values), values.reshape(2, 3, 4))


def test_wrong_shapes_and_modes_are_named():
    found = TokenLayout.dense((2, 3))
    with pytest.raises(ValueError, match='values have 5 columns, the layout has 6 tokens'):
        found.to_dense(torch.zeros(5))
    with pytest.raises(ValueError, match="mode is 'mean', expected 'spread' or 'copy'"):
        found.to_dense(torch.zeros(6), mode='mean')
    with pytest.raises(ValueError, match=re.escape('values lie on a grid of (3, 2), the layout on (2, 3)')):
        found.to_tokens(torch.zeros(3, 2))


@pytest.mark.parametrize('grid_size', [(1, 1), (2, 3), (4, 4), (8, 8), (23, 17), (42, 29), (5, 12), (3, 40)])
def test_fewest_tokens_are_those_of_a_budget_of_next_to_nothing(grid_size):
    h, w = grid_size
    for size in (1, 2, 4):
        selection = PatchSelection(patch_selection_method='budget', alpha=1e-6, max_token_size=size)
        tokenizer = PatchTokenizer(selection=selection, merge_size=2)
        _, (layout,) = tokenizer(torch.zeros(1, 3, 28 * h, 28 * w))
        assert TokenLayout.fewest_tokens(grid_size, max_token_size=size) == len(layout)
        assert tokenizer.last_budget_info[0]['fewest_patches'] == 4 * len(layout)
    assert TokenLayout.fewest_tokens(grid_size) == len(layout)
