"""Against the definition written plainly: loops over patches and tokens, greedy splits one at a time.

Letters: (H, W) image in px, m merge_size, s the size of a patch in base patches.
"""

import math
import random
import re

import pytest
import torch

from flmm.apt.layout import TokenLayout
from flmm.apt.selection import (
    select_patches_by_budget,
    select_patches_by_threshold,
    select_patches_by_threshold_v2,
)

SIZES = (14, 28, 56)


def random_maps(generator, *, merge_size=1, images=2, integers=False):
    """Maps of images of a random size; patches of 28 and 56 px that only miss pixels are inf."""
    unit = 14 * merge_size
    height, width = (generator.randint(1, 14) * unit - generator.choice([0, 5, 13]) for _ in range(2))
    maps = {}
    for size in SIZES:
        rows, columns = math.ceil(height / size), math.ceil(width / size)
        maps[size] = torch.tensor(
            [
                [
                    [generator.randint(0, 3) if integers else generator.uniform(0, 5) for _ in range(columns)]
                    for _ in range(rows)
                ]
                for _ in range(images)
            ],
            dtype=torch.float32,
        )
        if size > 14:
            grid_height, grid_width = (math.ceil(side / 14) * 14 for side in (height, width))
            for i in range(rows):
                for j in range(columns):
                    bottom, right = (i + 1) * size, (j + 1) * size
                    if bottom <= grid_height and right <= grid_width and (bottom > height or right > width):
                        maps[size][:, i, j] = math.inf
    return maps


def cases(count, **settings):
    for seed in range(count):
        generator = random.Random(seed)
        for merge_size in (1, 2):
            yield generator, merge_size, random_maps(generator, merge_size=merge_size, **settings)


class Grid:
    """One image's maps as lists, and the masks being built."""

    def __init__(self, maps, index, merge_size, max_token_size=4):
        self.sizes = [s for s in (2, 4) if s <= max_token_size]
        self.values = {s: maps[14 * s][index].double().tolist() for s in (1, 2, 4)}
        self.m = merge_size
        self.rows, self.columns = len(self.values[1]), len(self.values[1][0])

    def complete(self, s, i, j):
        inside = (i + 1) * s <= self.rows and (j + 1) * s <= self.columns
        return inside and math.isfinite(self.values[s][i][j])

    def patches(self, token):
        s, top, left = token  # in tokens of this size
        return [(s, top * self.m + i, left * self.m + j) for i in range(self.m) for j in range(self.m)]

    def tokens(self, s, accept):
        rows, columns = self.rows // (s * self.m), self.columns // (s * self.m)
        found = [(s, i, j) for i in range(rows) for j in range(columns)]
        return [token for token in found if all(self.complete(*p) and accept(*p) for p in self.patches(token))]

    def masks(self, coarse):
        """{1: set of (row, column), 2: ..., 4: ...}: larger tokens first, the rest in base patches."""
        covered, masks = set(), {1: set(), 2: set(), 4: set()}
        for token in sorted(coarse, key=lambda token: -token[0]):
            for s, i, j in self.patches(token):
                cells = {(i * s + y, j * s + x) for y in range(s) for x in range(s)}
                if not cells & covered:
                    covered |= cells
                    masks[s].add((i, j))
        masks[1] = {(i, j) for i in range(self.rows) for j in range(self.columns)} - covered
        return masks

    def by_threshold(self, thresholds):
        below = {s: lambda s, i, j, t=t: self.values[s][i][j] < t for s, t in zip((2, 4), thresholds, strict=True)}
        return self.masks([token for s in self.sizes for token in self.tokens(s, below[s])])

    def by_threshold_v2(self, alpha):
        largest = self.values[4]
        complete = [
            largest[i][j] for i in range(len(largest)) for j in range(len(largest[0])) if self.complete(4, i, j)
        ]
        threshold = alpha * math.fsum(complete) / len(complete) if complete else -math.inf
        return self.by_threshold((threshold, threshold))

    def unit(self, i, j):
        return math.fsum(self.values[1][y][x] for _, y, x in self.patches((1, i, j))) / self.m**2

    def score(self, s, i, j):
        mean = math.fsum(self.unit(i * s + y, j * s + x) for y in range(s) for x in range(s)) / s**2
        if s == 2:
            return mean
        return max(mean, *(self.score(2, 2 * i + y, 2 * j + x) for y in range(2) for x in range(2)))

    def by_budget(self, budget):
        whole = [token for s in self.sizes for token in self.tokens(s, lambda *_: True)]
        tokens = sum(len(patches) for patches in self.masks(whole).values()) // self.m**2
        order = sorted(whole, key=lambda token: (-self.score(*token), -token[0], token[1:]))
        kept = list(whole)
        for s, i, j in order:
            # Parents come before their parts, though the order does not look at who is whose parent.
            assert s == 4 or (4, i // 2, j // 2) not in kept
            if tokens + 3 > budget // self.m**2:
                break
            kept.remove((s, i, j))
            tokens += 3
        return self.masks(kept)


def as_sets(masks, index):
    return {size // 14: {tuple(place) for place in mask[index].nonzero().tolist()} for size, mask in masks.items()}


def check_layouts(maps, masks, merge_size):
    check_cover(maps, masks)
    for layout in TokenLayout.from_masks(masks, merge_size=merge_size):
        layout.check()  # each unit once, by tokens


def check_cover(maps, masks):
    for size in SIZES:
        assert masks[size].shape == maps[size].shape
        assert masks[size].dtype == torch.bool
    cover = sum(
        mask.repeat_interleave(size // 14, 1)
        .repeat_interleave(size // 14, 2)[:, : maps[14].shape[1], : maps[14].shape[2]]
        .long()
        for size, mask in masks.items()
    )
    assert (cover == 1).all()


def num_patches(masks):
    return sum(mask.sum((1, 2)) for mask in masks.values())


@pytest.mark.parametrize('integers', [False, True])
def test_threshold_is_the_plain_definition(integers):
    selected = set()
    for generator, merge_size, maps in cases(60, integers=integers):
        thresholds = (2, 3) if integers else (generator.uniform(2, 6), generator.uniform(2, 6))

        masks = select_patches_by_threshold(maps, thresholds, merge_size=merge_size)

        check_layouts(maps, masks, merge_size)
        for index in range(2):
            expected = Grid(maps, index, merge_size).by_threshold(thresholds)
            assert as_sets(masks, index) == expected
            selected |= {(merge_size, s) for s in expected if expected[s]}
    assert selected == {(m, s) for m in (1, 2) for s in (1, 2, 4)}  # the cases do exercise every size


@pytest.mark.parametrize('integers', [False, True])
def test_threshold_v2_is_the_plain_definition(integers):
    selected = set()
    for generator, merge_size, maps in cases(60, integers=integers):
        alpha = generator.choice([0.5, 1, 2])

        masks = select_patches_by_threshold_v2(maps, alpha, merge_size=merge_size)

        check_layouts(maps, masks, merge_size)
        for index in range(2):
            expected = Grid(maps, index, merge_size).by_threshold_v2(alpha)
            assert as_sets(masks, index) == expected
            selected |= {(merge_size, s) for s in expected if expected[s]}
    assert selected == {(m, s) for m in (1, 2) for s in (1, 2, 4)}


@pytest.mark.parametrize('integers', [False, True])
def test_budget_is_the_plain_definition(integers):
    for generator, merge_size, maps in cases(40, integers=integers):
        dense = maps[14][0].numel()
        budget = torch.tensor([generator.randint(0, dense + 5) for _ in range(2)])

        masks = select_patches_by_budget(maps, budget, merge_size=merge_size)

        check_layouts(maps, masks, merge_size)
        for index in range(2):
            assert as_sets(masks, index) == Grid(maps, index, merge_size).by_budget(int(budget[index]))


@pytest.mark.parametrize('max_token_size', [1, 2])
def test_no_token_is_larger_than_allowed(max_token_size):
    for generator, merge_size, maps in cases(20, images=1):
        sizes = {'merge_size': merge_size, 'max_token_size': max_token_size}
        grid = Grid(maps, 0, **sizes)
        thresholds, alpha = [generator.uniform(1, 6), generator.uniform(1, 6)], generator.uniform(0, 3)
        budget = generator.randint(0, maps[14][0].numel() + 5)
        for masks, expected in (
            (select_patches_by_threshold(maps, thresholds, **sizes), grid.by_threshold(thresholds)),
            (select_patches_by_threshold_v2(maps, alpha, **sizes), grid.by_threshold_v2(alpha)),
            (select_patches_by_budget(maps, budget, **sizes), grid.by_budget(budget)),
        ):
            check_layouts(maps, masks, merge_size)
            assert as_sets(masks, 0) == expected


@pytest.mark.parametrize('integers', [False, True])
def test_more_budget_only_adds_splits_and_is_never_exceeded(integers):
    for _, merge_size, maps in cases(12, integers=integers, images=1):
        dense, token = maps[14][0].numel(), merge_size**2
        budget = torch.arange(dense + 1)  # one image for each
        maps = {size: values.expand(dense + 1, -1, -1) for size, values in maps.items()}

        masks = select_patches_by_budget(maps, budget, merge_size=merge_size)

        check_cover(maps, masks)
        patches = num_patches(masks)
        assert (patches <= budget.clamp(min=int(patches[0]))).all()  # with a budget of 0 it is the fewest possible
        assert ((patches + 3 * token > budget) | (patches == dense)).all()  # no split left to afford
        assert (masks[14][1:] | ~masks[14][:-1]).all()  # what is fine stays fine ...
        assert (masks[56][:-1] | ~masks[56][1:]).all()  # ... and nothing becomes coarse again
        assert masks[14][-1].all()


def test_budget_of_each_image_is_its_own():
    maps = random_maps(random.Random(3), images=3)
    budget = torch.tensor([40, 0, 10_000])

    masks = select_patches_by_budget(maps, budget)

    for index in range(3):
        alone = select_patches_by_budget(
            {size: values[index : index + 1] for size, values in maps.items()}, int(budget[index])
        )
        assert all(torch.equal(masks[size][index], alone[size][0]) for size in SIZES)


def test_budget_splits_ties_from_large_to_small_and_from_the_top_left():
    maps = {14: torch.zeros(1, 4, 8), 28: torch.zeros(1, 2, 4), 56: torch.zeros(1, 1, 2)}

    one, two, three = (as_sets(select_patches_by_budget(maps, 2 + 3 * splits), 0) for splits in (1, 2, 3))

    assert one == {4: {(0, 1)}, 2: {(0, 0), (0, 1), (1, 0), (1, 1)}, 1: set()}
    assert two == {4: set(), 2: {(i, j) for i in range(2) for j in range(4)}, 1: set()}
    assert three == {4: set(), 2: two[2] - {(0, 0)}, 1: {(0, 0), (0, 1), (1, 0), (1, 1)}}


def test_budget_reaches_a_small_detail_in_a_large_flat_patch():
    maps = {14: torch.ones(1, 4, 8), 28: torch.zeros(1, 2, 4), 56: torch.zeros(1, 1, 2)}
    maps[14][0, :, :4] = 2  # mean of the left 56 px patch: 2
    maps[14][0, 0, 7] = 9  # mean of the right one 1.5, of its upper right quarter 3

    masks = as_sets(select_patches_by_budget(maps, 2 + 6), 0)

    assert masks == {4: {(0, 0)}, 2: {(0, 2), (1, 2), (1, 3)}, 1: {(0, 6), (0, 7), (1, 6), (1, 7)}}


def test_flat_images_are_not_below_their_own_mean():
    values = 0.1
    for rows in (4, 12, 28):
        maps = {14 * s: torch.full((1, rows // s, rows // s), values) for s in (1, 2, 4)}

        assert select_patches_by_threshold_v2(maps, 1.0)[14].all()
        assert select_patches_by_threshold_v2(maps, 1.001)[56].all()


def test_without_a_complete_large_patch_v2_keeps_everything_fine():
    maps = {14: torch.zeros(1, 3, 9), 28: torch.zeros(1, 2, 5), 56: torch.zeros(1, 1, 3)}

    assert select_patches_by_threshold_v2(maps, 100.0)[14].all()


def test_higher_alpha_of_v2_merges_more():
    for _, merge_size, maps in cases(10):
        counts = torch.stack(
            [
                num_patches(select_patches_by_threshold_v2(maps, alpha, merge_size=merge_size))
                for alpha in (0, 0.3, 0.6, 0.9, 1.2, 1.5, 3)
            ]
        )
        assert (counts.diff(dim=0) <= 0).all()


def test_other_base_patch_sizes():
    maps = random_maps(random.Random(5))
    renamed = {8: maps[14], 16: maps[28], 32: maps[56]}

    for select, argument in (
        (select_patches_by_threshold, (2, 3)),
        (select_patches_by_threshold_v2, 1.0),
        (select_patches_by_budget, 20),
    ):
        expected, masks = select(maps, argument), select(renamed, argument)
        assert list(masks) == [8, 16, 32]
        assert all(torch.equal(masks[small], expected[size]) for small, size in zip(masks, SIZES, strict=True))


def calls(maps, **settings):
    return [
        lambda: select_patches_by_threshold(maps, (3, 2), **settings),
        lambda: select_patches_by_threshold_v2(maps, 1.0, **settings),
        lambda: select_patches_by_budget(maps, 10, **settings),
    ]


def zeros(rows, columns):
    return {14 * s: torch.zeros(1, math.ceil(rows / s), math.ceil(columns / s)) for s in (1, 2, 4)}


@pytest.mark.parametrize(
    ('maps', 'merge_size', 'message'),
    [
        (zeros(3, 4), 2, 'a grid of 3x4 patches does not divide into tokens of 2x2; .* multiples of 28 px'),
        (zeros(4, 4), 3, 'merge_size is 3, expected 1 or 2'),
        ({14: zeros(4, 4)[14], 28: zeros(4, 4)[28]}, 1, r'patch sizes \[14, 28\], expected P, 2 P and 4 P'),
        ({}, 1, r'patch sizes \[\], expected P, 2 P and 4 P'),
        ({**zeros(5, 4), 28: torch.zeros(1, 2, 2)}, 1, r'28 px map has shape \(1, 2, 2\), expected \(1, 3, 2\)'),
    ],
)
def test_refuses_maps_that_do_not_fit_together(maps, merge_size, message):
    for call in calls(maps, merge_size=merge_size):
        with pytest.raises(ValueError, match=message):
            call()


def test_refuses_arguments_of_another_form():
    with pytest.raises(ValueError, match=r'thresholds are \(3,\), expected two: for patches of 28 and of 56 px'):
        select_patches_by_threshold(zeros(4, 4), (3,))
    with pytest.raises(ValueError, match=r'thresholds are 3\.0, expected two'):
        select_patches_by_threshold(zeros(4, 4), 3.0)
    for alpha in (-1.0, math.nan, math.inf, 'a', None):
        with pytest.raises(ValueError, match=f'alpha is {alpha!r}, expected a finite factor of the mean importance'):
            select_patches_by_threshold_v2(zeros(4, 4), alpha)
    with pytest.raises(ValueError, match=r'max_token_size is 3, expected one of \(1, 2, 4\)'):
        select_patches_by_budget(zeros(4, 4), 4, max_token_size=3)
    for budget in (7.9, [4]):
        with pytest.raises(ValueError, match=re.escape(f'budget is {budget!r}, expected an int or one integer for')):
            select_patches_by_budget(zeros(4, 4), budget)
    with pytest.raises(ValueError, match=r'budget is \(2,\) torch.int64, expected .* each of the 1 images'):
        select_patches_by_budget(zeros(4, 4), torch.tensor([3, 4]))
    with pytest.raises(ValueError, match=r'budget is \(1,\) torch.float32'):
        select_patches_by_budget(zeros(4, 4), torch.tensor([3.5]))
    with pytest.raises(ValueError, match='importance of the 14 px patches is not finite everywhere'):
        select_patches_by_budget({**zeros(4, 4), 14: torch.full((1, 4, 4), math.nan)}, 10)
