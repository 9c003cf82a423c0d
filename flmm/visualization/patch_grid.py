"""Pictures of a token layout: its tokens over the image, and what the model reads of it.

Letters: T tokens of an image, (h, w) its grid in units, m merge_size, P the side of the patches that the model reads
in px, u the side of a unit (m * P), s the size of a token, (H, W) = (h * u, w * u) the processed image in px.
"""

import math

import numpy as np
import torch
from torch import Tensor

from flmm.apt.layout import SIZES, TokenLayout

COLORS = {1: (70, 230, 255), 2: (255, 215, 0), 4: (255, 60, 150)}
"""RGB of the outlines for each size of token."""

# Line widths in px. A token of size 1 shares its lines with its neighbours; a coarse one has a tint and a frame of its
# own, which a dark line sets off from pixels of the same colour.
FRAME = {1: 1, 2: 3, 4: 4}
DARK = (20, 20, 20)
TINT = 0.18


def draw_tokens(image: np.ndarray, layout: TokenLayout) -> np.ndarray:
    """Outline the tokens of ``layout`` over ``image``, each size in its colour; coarse ones are tinted, too.

    Args:
        image: [H, W, 3] uint8, a whole number of px for each unit of the layout; enlarge it for wider cells.
        layout: as it comes from the selection, on any device.

    Returns:
        [H, W, 3] uint8.

    Raises:
        ValueError: an image of another type, or whose size doesn't fit the layout.
    """
    u = unit_side(image, layout)
    tokens = layout.tokens.cpu()
    dense = TokenLayout(tokens=tokens, grid_size=layout.grid_size).to_dense(tokens.T, mode='copy')
    top, left, size = dense.numpy().astype(np.int32).repeat(u, axis=1).repeat(u, axis=2)
    row, column = np.indices(image.shape[:2], sparse=True, dtype=np.int32)
    row, column = row - top * u, column - left * u  # within the token
    coarse = size > 1
    # Distance to the token's border in px; the lower and right border of a token of size 1 are its neighbours'.
    border = np.minimum(row, column)
    np.minimum(border, size * u - 1 - np.maximum(row, column), out=border, where=coarse)
    colors, frames = np.zeros((max(SIZES) + 1, 3), np.float32), np.zeros(max(SIZES) + 1, np.int32)
    for s in SIZES:
        colors[s], frames[s] = COLORS[s], FRAME[s]
    opacity = np.where(border < frames[size], np.float32(1), TINT * coarse.astype(np.float32))[..., None]
    drawn = np.rint(image * (1 - opacity) + colors[size] * opacity).astype(np.uint8)
    drawn[coarse & (border == 0)] = DARK
    return drawn


def rebuild_image(patches: Tensor, layout: TokenLayout) -> np.ndarray:
    """Paint what the model reads: each token's patches, enlarged to the square that they were brought down from.

    Args:
        patches: [T * m * m, 3, P, P], 0..255, in order of the layout, as ``PatchTokenizer`` returns them.
        layout: where they lie.

    Returns:
        [H, W, 3] uint8.

    Raises:
        ValueError: another number of patches than 1 or 4 for each token.
    """
    m = math.isqrt(len(patches) // len(layout))
    if len(patches) != m**2 * len(layout):
        raise ValueError(f'{len(patches)} patches do not make {len(layout)} tokens of m x m patches each')
    (h, w), u = layout.grid_size, m * patches.shape[-1]
    tiles = patches.detach().round().clamp(0, 255).to(torch.uint8)
    tiles = tiles.unflatten(0, (len(layout), m, m))  # [T, m, m, 3, P, P]
    tiles = tiles.permute(0, 1, 4, 2, 5, 3).reshape(-1, u, u, 3)  # [T, u, u, 3]
    image = tiles.new_zeros(h * u, w * u, 3)
    for s in SIZES:
        chosen = layout.tokens[:, 2] == s
        top, left = layout.tokens[chosen, :2].mul(u).T[..., None, None]
        within = torch.arange(s * u, device=tiles.device)
        painted = tiles[chosen].repeat_interleave(s, 1).repeat_interleave(s, 2)
        image[top + within[:, None], left + within] = painted
    return image.cpu().numpy()


def unit_side(image: np.ndarray, layout: TokenLayout) -> int:
    """The px of ``image`` for each unit of ``layout``; a ValueError says why they don't fit each other."""
    h, w = layout.grid_size
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'image is {image.shape} {image.dtype}, expected (height, width, 3) uint8')
    u = image.shape[0] // h
    if u == 0 or image.shape[:2] != (h * u, w * u):
        raise ValueError(
            f'image of {image.shape[0]}x{image.shape[1]} px (height x width) does not fit a layout of {h}x{w} units; '
            'pass it at the processed size'
        )
    return u
