"""The patches of a dense grid, brought to a layout."""

import math

import torch.nn.functional as F
from torch import Tensor

from flmm.apt.layout import SIZES, TokenLayout


def patches_of_layout(dense: Tensor, layout: TokenLayout, *, merge_size: int) -> Tensor:
    """Make of the patches of a dense grid what the adaptive image processor makes of the image with a layout.

    Letters: (h, w) the grid in units, m merge_size, P patch size in px, t frames of a patch, all alike in an image.

    Args:
        dense: [h * w * m * m, 3 * t * P * P], the stock ``pixel_values`` of one image.
        layout: on the same grid, T tokens.
        merge_size: m.

    Returns:
        [T * m * m, 3 * t * P * P]: a token of s x s units is the area means of s x s px each.
    """
    h, w = layout.grid_size
    frames = 2  # of every Qwen-VL model
    patch = math.isqrt(dense.shape[1] // (3 * frames))
    patches = dense.reshape(h, w, merge_size, merge_size, 3, frames, patch, patch)[..., 0, :, :]
    image = patches.permute(4, 0, 2, 5, 1, 3, 6).reshape(3, h * merge_size * patch, w * merge_size * patch)  # [3, H, W]
    found = dense.new_empty(len(layout), merge_size**2, dense.shape[1])
    for size in SIZES:
        members = layout.tokens[:, 2] == size
        top, left = (layout.tokens[members, :2] // size).unbind(1)
        rows, columns = h // size, w // size  # the last units of the grid may not fill one of this size
        small = F.avg_pool2d(image, size)[:, : rows * merge_size * patch, : columns * merge_size * patch]
        units = small.reshape(3, rows, merge_size, patch, columns, merge_size, patch)
        units = units.permute(1, 4, 2, 5, 0, 3, 6)  # [rows, columns, m, m, 3, P, P]
        tokens = units[top, left].unsqueeze(4).expand(-1, -1, -1, -1, frames, -1, -1)  # [n, m, m, 3, t, P, P]
        found[members] = tokens.reshape(len(top), merge_size**2, dense.shape[1])
    return found.flatten(0, 1)
