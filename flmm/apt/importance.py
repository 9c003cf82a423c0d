"""How much there is to see in each patch of an image, for patches of P, 2 P and 4 P px.

Letters: B images of one size, (H, W) that size in px, P the patch size that the model reads in px (14 in Qwen2-VL), S
one of P, 2 P and 4 P, (rows, columns) the grid of patches of S px, ceil(H / S) by ceil(W / S).

The grey of a pixel is 0.2989 R + 0.5870 G + 0.1140 B, evaluated in float64 in this order on every device. One pixel in
5,000 of an 8-bit image has a grey that lies exactly on the border of two histogram bins, and float32, float64 and exact
arithmetic round it to different sides. Float64 as the formula is written is the definition here, so the maps agree with
a plain float64 evaluation to the last bin.
"""

from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm.apt.layout import SIZES

METHODS = ('entropy', 'laplacian', 'upsample_mse')
LAPLACIAN_AGGREGATES = ('mean', 'max', 'std')
BINS = 512


def compute_importance_maps(
    images: Tensor,
    *,
    patch_size: int = 14,
    method: str = 'entropy',
    laplacian_aggregate: str = 'mean',
    blur: int = 1,
) -> dict[int, Tensor]:
    """Measure the patches of images.

    Args:
        images: [B, 3, H, W] RGB, uint8 or floating point, 0..255.
        patch_size: P in px, at least 2.
        method: 'entropy', the entropy of the patch's histogram of grey in bits, 512 bins (Choudhury et al.,
            "Accelerating Vision Transformers with Adaptive Patch Sizes", ICLR 2026); 'laplacian', the response to the
            4-neighbour Laplacian; or 'upsample_mse', the mean squared difference to the image brought down by area
            means and up again bilinearly: by 2 for patches of P and 2 P px, by 4 for those of 4 P px.
        laplacian_aggregate: what stands for a patch, the 'mean' or 'max' absolute Laplacian, or the 'std' of the
            signed one.
        blur: side in px of the box that smooths grey first, odd; 1 smooths nothing. 5 keeps pixel noise from counting
            as content.

    Returns:
        {P: [B, rows, columns], 2 P: ..., 4 P: ...} float32, at least 0, for ``flmm.apt.selection``. A patch at the
        border is measured on its pixels inside the image. Patches of 2 P and 4 P px that stick out of the image
        although their P px patches all exist are ``inf``: they lose more than they show when read as one.

    Raises:
        ValueError: images of another shape, type or range, or an unknown setting.
    """
    check_patch_size(patch_size)
    check_importance_settings(method=method, laplacian_aggregate=laplacian_aggregate, blur=blur)
    grey = _box_blur(_grey(images), blur)
    if method == 'entropy':
        maps = _entropy(grey[:, 0], patch_size)
    elif method == 'laplacian':
        maps = _laplacian(grey, patch_size, laplacian_aggregate)
    else:
        maps = {patch_size * s: _patch_means(_resampling_loss(grey, max(s, 2)), patch_size * s) for s in SIZES}
    height, width = images.shape[-2:]
    for size in maps:
        maps[size] = maps[size].float()
        if size > patch_size:
            outside = _sticks_out(height, width, size, patch_size, device=images.device)
            maps[size].masked_fill_(outside, torch.inf)
    return maps


def check_patch_size(patch_size: int) -> None:
    """Raise a ValueError for what is no patch size of a model."""
    if not isinstance(patch_size, Integral) or isinstance(patch_size, bool) or patch_size < 2:
        raise ValueError(f'patch_size is {patch_size!r}, expected a whole number of px, at least 2')


def check_importance_settings(*, method: str, laplacian_aggregate: str, blur: int) -> None:
    """Raise a ValueError for settings that :func:`compute_importance_maps` does not know."""
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f'method is {method!r}, expected one of {METHODS}')
    if not isinstance(laplacian_aggregate, str) or laplacian_aggregate not in LAPLACIAN_AGGREGATES:
        raise ValueError(f'laplacian_aggregate is {laplacian_aggregate!r}, expected one of {LAPLACIAN_AGGREGATES}')
    if not isinstance(blur, int) or isinstance(blur, bool) or blur < 1 or blur % 2 == 0:
        raise ValueError(f'blur is {blur!r}, expected an odd number of px; 1 smooths nothing')


def _grey(images: Tensor) -> Tensor:
    """[B, 1, H, W] float64."""
    if not isinstance(images, Tensor):
        raise ValueError(f'images are {type(images).__name__}, expected a tensor')
    if images.ndim != 4 or images.shape[1] != 3 or images.numel() == 0:
        raise ValueError(
            f'images have shape {tuple(images.shape)}, expected (images, 3, height, width), none of them 0'
        )
    if images.dtype != torch.uint8:
        if not images.is_floating_point():
            raise ValueError(f'images are {images.dtype}, expected uint8 or floating point')
        lowest, highest = (float(value) for value in images.aminmax())
        if not 0 <= lowest <= highest <= 255:  # false for NaN, too
            raise ValueError(
                f'images range from {lowest} to {highest}, expected 0..255; pass them before they are normalised'
            )
    weights = (0.2989, 0.5870, 0.1140)
    # Channel by channel: images from Pillow lie in memory channels last, where pooling is several times slower.
    red, green, blue = (
        channel.to(torch.float64, copy=True).mul_(weight)
        for channel, weight in zip(images.unbind(1), weights, strict=True)
    )
    return red.add_(green).add_(blue)[:, None]


def _box_blur(grey: Tensor, width: int) -> Tensor:
    if width == 1:
        return grey
    blurred = F.pad(grey, [width // 2] * 4, mode='replicate')
    for dim in (2, 3):  # sums along columns, then along rows: 2 * width terms for a pixel in place of width**2
        length = blurred.shape[dim] - width + 1
        first, second, *others = (blurred.narrow(dim, shift, length) for shift in range(width))
        blurred = first + second
        for other in others:
            blurred += other
    return blurred.div_(width**2)


def _entropy(grey: Tensor, patch_size: int) -> dict[int, Tensor]:
    """Count all histograms of [B, H, W] at once: each pixel adds 1 at its (image, patch, bin)."""
    batch_size, height, width = grey.shape
    rows, columns = -(-height // patch_size), -(-width // patch_size)
    index = (grey * (BINS / 256)).long()  # int64, as the bins of all images together may exceed 2**31
    index += (torch.arange(batch_size, device=grey.device) * (rows * columns * BINS))[:, None, None]
    index += (torch.arange(height, device=grey.device) // patch_size * (columns * BINS))[:, None]
    index += torch.arange(width, device=grey.device) // patch_size * BINS
    counts = torch.bincount(index.flatten(), minlength=batch_size * rows * columns * BINS)
    counts = counts.reshape(batch_size, rows, columns, BINS)  # [B, rows, columns, bins]
    # The entropy of n pixels with counts c is (f(n) - sum f(c)) / n, f(x) = x log2 x. Read from a table in float32 and
    # added in float64, where the sums are exact, it is the same for the same counts in any order of bins: ties tie.
    terms = torch.arange((patch_size * SIZES[-1]) ** 2 + 1, device=grey.device, dtype=torch.float64)
    terms = (terms * terms.clamp(min=1).log2()).float().double()
    maps = {}
    for s in SIZES:
        if s > 1:
            # Each patch is made of 2x2 of the next smaller size; its histogram is their sum.
            counts = _add_blocks(counts)
        pixels = counts.sum(-1)
        bins = terms.index_select(0, counts.flatten()).reshape(counts.shape)  # [B, rows, columns, bins]
        maps[patch_size * s] = (terms[pixels] - bins.sum(-1)) / pixels
    return maps


def _add_blocks(counts: Tensor) -> Tensor:
    """Add up 2x2 patches: [B, rows, columns, bins] -> [B, ceil(rows / 2), ceil(columns / 2), bins]."""
    total = counts[:, ::2, ::2].clone()
    for down, right in ((0, 1), (1, 0), (1, 1)):
        part = counts[:, down::2, right::2]
        total[:, : part.shape[1], : part.shape[2]] += part
    return total


def _laplacian(grey: Tensor, patch_size: int, aggregate: str) -> dict[int, Tensor]:
    around = F.pad(grey, [1] * 4, mode='replicate')
    response = around[..., :-2, 1:-1] + around[..., 2:, 1:-1]
    response += around[..., 1:-1, :-2]
    response += around[..., 1:-1, 2:]
    response.sub_(grey, alpha=4)
    sizes = [patch_size * s for s in SIZES]
    if aggregate == 'std':
        squared = response.square()
        return {
            size: (_patch_means(squared, size) - _patch_means(response, size).square()).clamp(min=0).sqrt()
            for size in sizes
        }
    response.abs_()
    if aggregate == 'mean':
        return {size: _patch_means(response, size) for size in sizes}
    return {size: F.max_pool2d(response, size, ceil_mode=True)[:, 0] for size in sizes}


def _resampling_loss(grey: Tensor, factor: int) -> Tensor:
    height, width = grey.shape[-2:]
    small = _area_means(grey, factor)
    large = F.interpolate(small, scale_factor=factor, mode='bilinear', align_corners=False)
    return (grey - large[..., :height, :width]).square()


def _area_means(values: Tensor, size: int) -> Tensor:
    """[B, 1, rows, columns], the means over the pixels that lie inside the image."""
    return F.avg_pool2d(values, size, ceil_mode=True, count_include_pad=False)


def _patch_means(values: Tensor, size: int) -> Tensor:
    return _area_means(values, size)[:, 0]


def _sticks_out(height: int, width: int, size: int, patch_size: int, *, device: torch.device) -> Tensor:
    """[rows, columns] bool: patches of ``size`` px that reach past the image while their P px patches all exist."""
    exists, inside = [], []
    for side in (height, width):
        end = torch.arange(size, side + size, size, device=device)
        exists.append(end <= -(-side // patch_size) * patch_size)
        inside.append(end <= side)
    return (exists[0][:, None] & exists[1]) & ~(inside[0][:, None] & inside[1])
