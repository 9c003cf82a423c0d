"""Against plain float64 loops over pixels and patches.

Letters: B images, (H, W) their size in px, P patch_size in px, size that of a patch in px: P, 2 P or 4 P.
"""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from flmm.apt.importance import compute_importance_maps

SIZES = [(56, 112), (61, 75), (98, 70), (100, 84), (20, 17), (14, 14)]
CASES = [
    *((size, 14) for size in SIZES),
    *((size, 16) for size in [(64, 128), *SIZES]),
    *((size, 5) for size in [(40, 20), (31, 42)]),
    *((size, 2) for size in [(16, 8), (11, 14)]),
]
"""(H, W) and P: images that patches divide, that they reach out of, and that are smaller than one."""


def pictures(size, *, count=1, seed=0):
    """[B, 3, H, W] uint8: a smooth ramp, a textured disc, flat bars and a noisy corner."""
    height, width = size
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    images = []
    for _ in range(count):
        image = np.stack([y + x, 2 * y, 255 - x], axis=0) * 0.4
        radius, centre = min(size) * 0.3, generator.uniform(0.3, 0.7, 2) * size
        disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
        image[:, disc] = 120 + 60 * np.sin(np.stack([x, y, x + y])[:, disc] * 0.7)
        image[:, :, width * 2 // 3 :] = generator.integers(0, 256, 3)[:, None, None]
        image[:, : height // 3, : width // 3] += generator.normal(0, 20, (3, height // 3, width // 3))
        images.append(image.clip(0, 255))
    return torch.from_numpy(np.stack(images).astype(np.uint8))


def oracle_grey(image, blur):
    image = image.double().numpy()
    grey = 0.2989 * image[0] + 0.5870 * image[1] + 0.1140 * image[2]
    height, width = grey.shape
    padded = np.pad(grey, blur // 2, mode='edge')
    shifted = [padded[i : i + height, j : j + width] for i in range(blur) for j in range(blur)]
    return sum(shifted) / blur**2


def oracle_loss(grey, factor):
    height, width = grey.shape
    rows, columns = math.ceil(height / factor), math.ceil(width / factor)
    small = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            small[i, j] = grey[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor].mean()
    loss = np.zeros_like(grey)
    for i in range(height):
        for j in range(width):
            y, x = max((i + 0.5) / factor - 0.5, 0), max((j + 0.5) / factor - 0.5, 0)
            top, left = int(y), int(x)
            below, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            upper = (1 - x + left) * small[top, left] + (x - left) * small[top, right]
            lower = (1 - x + left) * small[below, left] + (x - left) * small[below, right]
            loss[i, j] = (grey[i, j] - (1 - y + top) * upper - (y - top) * lower) ** 2
    return loss


def oracle(image, *, patch_size=14, method='entropy', laplacian_aggregate='mean', blur=1):
    grey = oracle_grey(image, blur)
    height, width = grey.shape
    p = np.pad(grey, 1, mode='edge')
    laplacian = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * grey
    maps = {}
    for size in (patch_size, 2 * patch_size, 4 * patch_size):
        loss = oracle_loss(grey, 4 if size == 4 * patch_size else 2) if method == 'upsample_mse' else None
        grid_height, grid_width = (math.ceil(side / patch_size) * patch_size for side in (height, width))
        rows, columns = math.ceil(height / size), math.ceil(width / size)
        maps[size] = torch.zeros(rows, columns, dtype=torch.float64)
        for i in range(rows):
            for j in range(columns):
                patch = slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size)
                bottom, right = (i + 1) * size, (j + 1) * size
                cells_exist = bottom <= grid_height and right <= grid_width
                if size > patch_size and cells_exist and (bottom > height or right > width):
                    value = math.inf
                elif method == 'entropy':
                    counts = Counter(math.floor(value * 512 / 256) for value in grey[patch].ravel())
                    total = sum(counts.values())
                    value = -sum(count / total * math.log2(count / total) for count in counts.values())
                elif method == 'upsample_mse':
                    value = loss[patch].mean()
                elif laplacian_aggregate == 'std':
                    value = laplacian[patch].std()
                else:
                    value = getattr(np.abs(laplacian[patch]), laplacian_aggregate)()
                maps[size][i, j] = value
    return maps


def assert_like_oracle(maps, images, *, patch_size=14, **settings):
    assert list(maps) == [patch_size, 2 * patch_size, 4 * patch_size]
    for index, image in enumerate(images):
        for size, expected in oracle(image, patch_size=patch_size, **settings).items():
            assert maps[size].dtype == torch.float32
            torch.testing.assert_close(maps[size][index].double(), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(('size', 'patch_size'), CASES)
def test_entropy_of_a_batch_is_that_of_the_oracle(size, patch_size):
    images = pictures(size, count=3)

    assert_like_oracle(compute_importance_maps(images, patch_size=patch_size), images, patch_size=patch_size)


def test_the_patch_size_is_14_unless_another_is_given():
    images = pictures((61, 75))

    default, given = compute_importance_maps(images), compute_importance_maps(images, patch_size=14)

    assert list(default) == list(given) == [14, 28, 56]
    assert all(torch.equal(default[size], given[size]) for size in given)


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64])
def test_entropy_of_fractional_pixels_is_that_of_the_oracle(dtype):
    images = (torch.rand(2, 3, 61, 75, generator=torch.Generator().manual_seed(0)) * 255).to(dtype)

    assert_like_oracle(compute_importance_maps(images), images)


def test_entropy_puts_greys_on_a_border_of_two_bins_where_float64_does():
    red, green, blue = torch.meshgrid(
        torch.arange(0, 256, 10), torch.arange(256), torch.arange(0, 256, 3), indexing='ij'
    )
    on_border = (2989 * red + 5870 * green + 1140 * blue) % 5000 == 0
    colours = torch.stack([channel[on_border] for channel in (red, green, blue)])
    pixels = colours.repeat(1, 3)[:, : 56 * 28].to(torch.uint8)
    assert pixels.shape[1] == 56 * 28
    images = pixels.reshape(1, 3, 56, 28)

    assert_like_oracle(compute_importance_maps(images), images)
    assert_like_oracle(compute_importance_maps(images.float()), images)


@pytest.mark.parametrize('patch_size', [16, 100])
def test_entropy_of_a_flat_and_of_a_most_varied_patch(patch_size):
    side = 4 * patch_size
    values = torch.arange(side * side).remainder(256).reshape(side, side)  # each of the 256 greys equally often
    images = torch.stack([torch.full((3, side, side), 90), values.expand(3, -1, -1)]).to(torch.uint8)

    maps = compute_importance_maps(images, patch_size=patch_size)

    assert all((values[0] == 0).all() for values in maps.values())
    # All counts are equal, so the entropy is 8 bits, to the precision of the float32 table.
    torch.testing.assert_close(maps[side][1], torch.full((1, 1), 8.0), rtol=0, atol=1e-5)


def test_entropy_in_closed_form():
    images = torch.zeros(1, 3, 56, 56)
    images[..., 28:, :] = 200  # the upper half is flat, each 14 px column of the lower one has a value of its own
    for column in range(4):
        images[..., 28:, column * 14 : (column + 1) * 14] += 10 * column

    maps = compute_importance_maps(images)

    assert (maps[14] == 0).all()
    assert maps[28].tolist() == [[[0, 0], [1, 1]]]
    torch.testing.assert_close(maps[56], torch.tensor([[[2.0]]]))  # 1/2 once and 1/8 four times


def test_patches_with_the_same_counts_tie():
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 20, (196,), generator=generator)
    images = torch.zeros(1, 3, 14, 140)
    for patch in range(10):  # the same histogram, shifted and with the pixels in another order
        shuffled = values[torch.randperm(196, generator=generator)].reshape(14, 14)
        images[..., patch * 14 : (patch + 1) * 14] = shuffled * (2 + patch) + patch

    entropy = compute_importance_maps(images)[14]

    assert entropy[0, 0, 0] > 3
    assert (entropy == entropy[0, 0, 0]).all()


@pytest.mark.parametrize('blur', [1, 3])
@pytest.mark.parametrize(('size', 'patch_size'), CASES)
@pytest.mark.parametrize(
    ('method', 'aggregate'),
    [('laplacian', 'mean'), ('laplacian', 'max'), ('laplacian', 'std'), ('upsample_mse', 'mean')],
)
def test_other_methods_are_those_of_the_oracle(method, aggregate, size, patch_size, blur):
    images = pictures(size, count=2)
    settings = {'method': method, 'laplacian_aggregate': aggregate, 'blur': blur, 'patch_size': patch_size}

    assert_like_oracle(compute_importance_maps(images, **settings), images, **settings)


def test_blurred_entropy_and_a_box_larger_than_the_image():
    images = pictures((61, 75))
    # The mean of 25 pixels may fall on either side of a border between bins; this shifts all clear of them.
    images = images.float() + 0.3123

    assert_like_oracle(compute_importance_maps(images, blur=5), images, blur=5)
    wide = compute_importance_maps(pictures((14, 14)), method='laplacian', blur=31)
    assert_like_oracle(wide, pictures((14, 14)), method='laplacian', blur=31)


def test_blur_keeps_noise_from_counting_as_content():
    images = torch.full((1, 3, 56, 112), 100.0)
    images[..., :56] += torch.randn(1, 3, 56, 56, generator=torch.Generator().manual_seed(0)) * 2  # left: noise
    images[:, :, 28:, 84:] = 160  # right: an edge

    sharp, blurred = (compute_importance_maps(images, method='laplacian', blur=blur)[56][0, 0] for blur in (1, 5))

    assert sharp[0] > 2 * sharp[1]
    assert blurred[0] < 0.8 * blurred[1]


def test_ramps_lose_nothing_when_resampled():
    images = torch.arange(56.0).expand(1, 3, 56, 56) * 4

    loss = compute_importance_maps(images, method='upsample_mse')

    assert (loss[14][:, :, 1:-1] < 1e-9).all()  # bilinear; the outermost pixels have no neighbour to interpolate with
    assert (loss[14][:, :, [0, -1]] > 0.01).all()


@pytest.mark.parametrize('method', ['entropy', 'laplacian', 'upsample_mse'])
def test_patches_are_infinite_where_only_pixels_are_missing(method):
    maps = compute_importance_maps(pictures((100, 84)), method=method)  # 7.1 x 6 patches: an 8 x 6 grid

    assert {size: tuple(values.shape[1:]) for size, values in maps.items()} == {14: (8, 6), 28: (4, 3), 56: (2, 2)}
    assert maps[14].isfinite().all()
    assert maps[28][0].isinf().tolist() == [[False] * 3] * 3 + [[True] * 3]
    assert maps[56][0].isinf().tolist() == [[False, False], [True, False]]


def test_uint8_and_float_images_give_the_same_maps():
    images = pictures((61, 75))

    for method in ('entropy', 'laplacian', 'upsample_mse'):
        maps = [compute_importance_maps(images.to(dtype), method=method) for dtype in (torch.uint8, torch.float32)]
        assert all(torch.equal(maps[0][size], maps[1][size]) for size in (14, 28, 56))


@pytest.mark.parametrize(
    ('images', 'message'),
    [
        (
            torch.zeros(1, 3, 28, 28) - 1,
            'images range from -1.0 to -1.0, expected 0..255; pass them before they are norm',
        ),
        (torch.full((1, 3, 28, 28), 256.0), 'images range from 256.0 to 256.0, expected 0..255'),
        (torch.full((1, 3, 28, 28), math.nan), 'images range from nan to nan, expected 0..255'),
        (torch.zeros(1, 3, 28, 28, dtype=torch.long), 'images are torch.int64, expected uint8 or floating point'),
        (torch.zeros(3, 28, 28), r'images have shape \(3, 28, 28\), expected \(images, 3, height, width\)'),
        (torch.zeros(1, 1, 28, 28), r'images have shape \(1, 1, 28, 28\)'),
        (torch.zeros(0, 3, 28, 28), r'images have shape \(0, 3, 28, 28\)'),
    ],
)
def test_refuses_images_it_cannot_measure(images, message):
    with pytest.raises(ValueError, match=message):
        compute_importance_maps(images)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'method': 'sobel'}, r"method is 'sobel', expected one of \('entropy', 'laplacian', 'upsample_mse'\)"),
        ({'laplacian_aggregate': 'sum'}, r"laplacian_aggregate is 'sum', expected one of \('mean', 'max', 'std'\)"),
        ({'blur': 4}, 'blur is 4, expected an odd number of px; 1 smooths nothing'),
        ({'blur': -1}, 'blur is -1, expected an odd number'),
        ({'blur': 1.0}, 'blur is 1.0, expected an odd number'),
        ({'patch_size': 1}, 'patch_size is 1, expected a whole number of px, at least 2'),
        ({'patch_size': 16.0}, 'patch_size is 16.0, expected a whole number of px'),
        ({'patch_size': None}, 'patch_size is None, expected a whole number of px'),
    ],
)
def test_refuses_unknown_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        compute_importance_maps(pictures((28, 28)), **settings)
