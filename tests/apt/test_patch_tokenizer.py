"""PatchTokenizer against what its steps give one by one, and patches against the pixels they lie on.

Letters: B images, (H, W) their size in px, P patch size in px.
"""

import subprocess
import sys

import pytest
import torch

from flmm.apt import (
    PatchSelection,
    PatchTokenizer,
    TokenLayout,
    compute_importance_maps,
    select_patches_by_threshold,
)
from flmm.apt.patch_selection import DEFAULT_THRESHOLDS

METHODS = [
    {'patch_selection_method': 'none'},
    {'patch_selection_method': 'v1'},
    {'patch_selection_method': 'v2', 'alpha': 0.9},
    {'patch_selection_method': 'budget', 'alpha': 0.5},
]


def build(*, patch_size=14, merge_size=1, **settings):
    return PatchTokenizer(selection=PatchSelection(**settings), patch_size=patch_size, merge_size=merge_size)


def half_flat_images(height, width, *, count=2):
    """[B, 3, H, W] uint8: the left half flat, the right one noise of growing strength; shifted from image to image."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(-100, 100, (count, 3, height, width), generator=generator)
    strength = (torch.arange(width) / width - 0.52).clamp(min=0)
    images = (120 + noise * strength).to(torch.uint8)
    return torch.stack([image.roll(i * width // 3, dims=-1) for i, image in enumerate(images)])


def places(height, width, *, patch_size):
    """[1, 3, H, W] float: row and column of each pixel's centre in patches of P px, and row * column."""
    y, x = torch.meshgrid(torch.arange(height) / patch_size, torch.arange(width) / patch_size, indexing='ij')
    return torch.stack([y, x, y * x])[None]


@pytest.mark.parametrize('patch_size', [14, 16, 3])
@pytest.mark.parametrize('merge_size', [1, 2])
@pytest.mark.parametrize('settings', METHODS)
@pytest.mark.parametrize('grid', [(4, 6), (12, 20), (10, 14)])
def test_patches_lie_where_the_layout_says(grid, settings, merge_size, patch_size):
    size = tuple(side * patch_size for side in grid)
    images = half_flat_images(*size)
    pixels = places(*size, patch_size=patch_size).expand(2, -1, -1, -1)

    tokenizer = build(**settings, merge_size=merge_size, patch_size=patch_size)
    patches, layouts = tokenizer(images, pixels=pixels)

    for found, layout in zip(patches, layouts, strict=True):
        layout.check()
        assert layout.grid_size == (grid[0] // merge_size, grid[1] // merge_size)
        assert found.shape == (len(layout) * merge_size**2, 3, patch_size, patch_size)
        # A patch's mean place is its centre, and neighbours in a patch of size s * P px are s / P patches apart.
        centres = layout.patch_centres(merge_size=merge_size)
        middle = (patch_size - 1) / 2 / patch_size
        torch.testing.assert_close(found[:, :2].mean((2, 3)), centres + middle, rtol=0, atol=1e-5)
        sides = layout.tokens[:, 2].repeat_interleave(merge_size**2)
        torch.testing.assert_close(found[:, 0, 1, 0] - found[:, 0, 0, 0], sides / patch_size, rtol=0, atol=1e-5)
        torch.testing.assert_close(found[:, 1, 0, 1] - found[:, 1, 0, 0], sides / patch_size, rtol=0, atol=1e-5)
    if settings['patch_selection_method'] != 'none' and grid == (12, 20) and patch_size > 3:
        assert set(torch.cat([layout.tokens[:, 2] for layout in layouts]).tolist()) == {1, 2, 4}


@pytest.mark.parametrize('patch_size', [14, 16])
def test_patch_groups_are_area_means_in_order_of_the_masks(patch_size):
    images = half_flat_images(8 * patch_size, 10 * patch_size)
    tokenizer = build(patch_selection_method='budget', alpha=0.5, patch_size=patch_size)
    masks = tokenizer.construct_masks(tokenizer.compute_importance_maps(images))

    groups = tokenizer.construct_patch_groups(images, masks)

    assert list(groups) == [patch_size, 2 * patch_size, 4 * patch_size]
    for size, group in groups.items():
        chosen = masks[size].nonzero().tolist()
        assert group.shape == (len(chosen), 3, patch_size, patch_size)
        assert group.dtype == torch.float32
        assert chosen
        for patch, (image, row, column) in zip(group, chosen, strict=True):
            area = images[image, :, row * size : (row + 1) * size, column * size : (column + 1) * size].double()
            step, cells = size // patch_size, range(patch_size)
            means = [
                [area[:, i * step : (i + 1) * step, j * step : (j + 1) * step].mean((1, 2)) for j in cells]
                for i in cells
            ]
            expected = torch.stack([torch.stack(row, dim=1) for row in means], dim=1)
            torch.testing.assert_close(patch.double(), expected, rtol=1e-6, atol=0)


def test_none_is_the_image_cut_into_patches():
    images = half_flat_images(56, 84)

    (patches, _), layouts = build(patch_selection_method='none')(images)

    assert all(torch.equal(layout.tokens, TokenLayout.dense((4, 6)).tokens) for layout in layouts)
    for index, patch in enumerate(patches):
        row, column = divmod(index, 6)
        expected = images[0, :, row * 14 : (row + 1) * 14, column * 14 : (column + 1) * 14]
        assert torch.equal(patch, expected.float())


def test_selection_looks_at_images_and_patches_come_from_pixels():
    images = half_flat_images(112, 140)
    normalised = (images / 255 - 0.5) / 0.25
    tokenizer = build()

    raw, layouts = tokenizer(images)
    patches, same_layouts = tokenizer(images, pixels=normalised.double())

    for i in range(2):
        assert torch.equal(layouts[i].tokens, same_layouts[i].tokens)
        assert patches[i].dtype == torch.float64
        torch.testing.assert_close(patches[i].float(), (raw[i] / 255 - 0.5) / 0.25, rtol=0, atol=1e-5)


def test_border_pixels_are_repeated_where_a_patch_sticks_out():
    images = half_flat_images(40, 65)

    (patches, _), (layout, _) = build(patch_selection_method='none')(images)

    assert layout.grid_size == (3, 5)
    assert torch.equal(patches[-1][:, :12, :9], images[0, :, 28:, 56:].float())
    assert (patches[-1][:, 12:] == patches[-1][:, 11:12]).all()
    assert (patches[-1][:, :, 9:] == patches[-1][:, :, 8:9]).all()


@pytest.mark.parametrize('merge_size', [1, 2])
@pytest.mark.parametrize('settings', METHODS)
def test_selection_info_counts_patches(settings, merge_size):
    tokenizer = build(**settings, merge_size=merge_size)

    patches, layouts = tokenizer(half_flat_images(168, 280))

    assert len(tokenizer.last_selection_info) == 2
    for info, found, layout in zip(tokenizer.last_selection_info, patches, layouts, strict=True):
        sizes = layout.tokens[:, 2]
        counts = {14 * s: int((sizes == s).sum()) * merge_size**2 for s in (1, 2, 4)}
        assert info == {'patches_per_size': counts, 'num_patches': len(found), 'kept_fraction': len(found) / 240}
    assert (tokenizer.last_budget_info is None) == (settings['patch_selection_method'] != 'budget')


@pytest.mark.parametrize(
    ('merge_size', 'alpha', 'expected'),
    [  # 6 x 10 patches: two of 56 px and seven of 28 px cover them; 3 x 5 units: two of 2 x 2 and seven single ones
        (1, 0.5, {'fewest_patches': 9, 'dense_patches': 60, 'budget': 30, 'num_splits': 7, 'num_patches': 30}),
        (1, 0.1, {'fewest_patches': 9, 'dense_patches': 60, 'budget': 6, 'num_splits': 0, 'num_patches': 9}),
        (1, 1.0, {'fewest_patches': 9, 'dense_patches': 60, 'budget': 60, 'num_splits': 17, 'num_patches': 60}),
        (2, 0.9, {'fewest_patches': 36, 'dense_patches': 60, 'budget': 54, 'num_splits': 1, 'num_patches': 48}),
        (2, 0.5, {'fewest_patches': 36, 'dense_patches': 60, 'budget': 30, 'num_splits': 0, 'num_patches': 36}),
    ],
)
def test_budget_info(merge_size, alpha, expected):
    tokenizer = build(patch_selection_method='budget', alpha=alpha, merge_size=merge_size)

    patches, _ = tokenizer(half_flat_images(84, 140))

    assert tokenizer.last_budget_info == [expected, expected]
    assert [len(found) for found in patches] == [expected['num_patches']] * 2


@pytest.mark.parametrize('merge_size', [1, 2])
def test_more_alpha_never_means_fewer_tokens(merge_size):
    maps = compute_importance_maps(half_flat_images(168, 196))
    counts = []
    for alpha in torch.linspace(0.02, 1, 50).tolist():
        tokenizer = build(patch_selection_method='budget', alpha=alpha, merge_size=merge_size)
        tokenizer.construct_masks(maps)
        counts.append([info['num_patches'] for info in tokenizer.last_selection_info])

    assert (torch.tensor(counts).diff(dim=0) >= 0).all()
    assert counts[-1] == [168, 168]


@pytest.mark.parametrize(
    ('method', 'aggregate'),
    [
        ('entropy', 'mean'),
        ('laplacian', 'mean'),
        ('laplacian', 'max'),
        ('laplacian', 'std'),
        ('upsample_mse', 'mean'),
    ],
)
def test_settings_reach_the_importance_maps_and_the_default_thresholds(method, aggregate):
    images = half_flat_images(112, 140)
    tokenizer = build(method=method, laplacian_aggregate=aggregate, blur=3)

    maps = tokenizer.compute_importance_maps(images)
    masks = tokenizer.construct_masks(maps)

    expected = compute_importance_maps(images, method=method, laplacian_aggregate=aggregate, blur=3)
    assert all(torch.equal(maps[size], expected[size]) for size in expected)
    assert tokenizer.selection.v1_thresholds == DEFAULT_THRESHOLDS[method, aggregate if method == 'laplacian' else None]
    by_hand = select_patches_by_threshold(maps, tokenizer.selection.v1_thresholds)
    assert all(torch.equal(masks[size], by_hand[size]) for size in by_hand)
    assert masks[56].any()  # the flat part is coarse by default, the noise is not
    assert masks[14].any()


def test_thresholds_replace_the_defaults():
    tokenizer = build(thresholds=[20, 10])

    tokenizer(half_flat_images(56, 112))

    assert tokenizer.last_selection_info[0]['patches_per_size'] == {14: 0, 28: 0, 56: 2}


@pytest.mark.parametrize(
    ('sizes', 'message'),
    [
        ({'merge_size': 4}, 'merge_size is 4, expected 1 or 2'),
        ({'patch_size': 1}, 'patch_size is 1, expected a whole number of px, at least 2'),
        ({'patch_size': 14.0}, 'patch_size is 14.0, expected a whole number of px'),
        ({'patch_size': True}, 'patch_size is True, expected a whole number of px'),
        ({'patch_size': (14, 14)}, r'patch_size is \(14, 14\), expected a whole number of px'),
    ],
)
def test_refuses_sizes(sizes, message):
    with pytest.raises(ValueError, match=message):
        build(**sizes)


def test_refuses_images_that_it_cannot_cut():
    tokenizer = build(merge_size=2)

    with pytest.raises(ValueError, match=r'\(height, width\) \(13, 56\) are smaller than one patch; .* at least 14 px'):
        tokenizer(half_flat_images(13, 56))
    with pytest.raises(ValueError, match='a grid of 3x4 patches does not divide into tokens of 2x2'):
        tokenizer(half_flat_images(42, 56))
    with pytest.raises(ValueError, match=r'masks lie on grids \(2, 4, 4\), images of shape \(2, 3, 28, 56\) have'):
        tokenizer(half_flat_images(56, 56), pixels=half_flat_images(28, 56))
    of_14 = tokenizer.construct_masks(tokenizer.compute_importance_maps(half_flat_images(56, 56)))
    other = build(merge_size=2, patch_size=16)
    with pytest.raises(ValueError, match='masks are of patches of 14 px, the tokenizer has a patch_size of 16'):
        other.take_patches(half_flat_images(64, 64), of_14)
    with pytest.raises(ValueError, match=r'\(height, width\) \(15, 56\) are smaller than one patch; .* at least 16 px'):
        other(half_flat_images(15, 56))


def test_depends_on_torch_alone():
    code = (
        'import sys, flmm.apt; '
        "print([name for name in ('transformers', 'mmengine', 'mmdet', 'torchvision') if name in sys.modules])"
    )

    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == '[]'


@pytest.mark.parametrize('merge_size', [1, 2])
@pytest.mark.parametrize('max_token_size', [1, 2, 4])
@pytest.mark.parametrize('grid', [(2, 2), (2, 10), (4, 4), (10, 14), (18, 16)])
@pytest.mark.parametrize('patch_size', [14, 4])
def test_num_patches_is_that_of_any_image_or_none(merge_size, max_token_size, grid, patch_size):
    rows, columns = grid
    shape = (1, 3, rows * patch_size, columns * patch_size)
    noise = torch.randint(256, shape, generator=torch.Generator().manual_seed(0))
    images = [image.to(torch.uint8) for image in (noise, noise // 64 * 64, torch.zeros_like(noise))]
    sizes = {'merge_size': merge_size, 'max_token_size': max_token_size, 'patch_size': patch_size}
    known = [
        {'patch_selection_method': 'none'},
        *({'patch_selection_method': 'budget', 'alpha': alpha} for alpha in (0.01, 0.2, 0.35, 0.6, 0.9, 1.0)),
        {'patch_selection_method': 'v2', 'alpha': 0.0},
    ]
    for settings in known:
        tokenizer = build(**settings, **sizes)
        assert {len(patches) for image in images for patches in tokenizer(image)[0]} == {tokenizer.num_patches(grid)}
    for settings in ({'thresholds': (9.0, 9.0)}, {'patch_selection_method': 'v2', 'alpha': 2.0}):
        tokenizer = build(**settings, **sizes)
        numbers = {len(patches) for image in images for patches in tokenizer(image)[0]}
        assert (
            tokenizer.num_patches(grid) is None if len(numbers) > 1 else tokenizer.num_patches(grid) in (None, *numbers)
        )
