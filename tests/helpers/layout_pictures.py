"""A layout with all sizes of tokens, and the image and patches of layouts."""

import numpy as np
import torch

from flmm.apt.layout import TokenLayout


def mixed_layout(h=6, w=7):
    """One token of size 4, two of size 2, the rest of size 1."""
    coarse = [(0, 0, 4), (0, 4, 2), (4, 2, 2)]
    covered = {
        (row, column) for top, left, s in coarse for row in range(top, top + s) for column in range(left, left + s)
    }
    fine = [(row, column, 1) for row in range(h) for column in range(w) if (row, column) not in covered]
    layout = TokenLayout(tokens=torch.tensor(sorted(coarse + fine)), grid_size=(h, w))
    layout.check()
    return layout


def random_image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def patches_of(image, layout, m):
    """Patches token by token, each the area mean of its square; plain loops in float64."""
    u = image.shape[0] // layout.grid_size[0]
    side = u // m
    patches = []
    for top, left, s in layout.tokens.tolist():
        for row in range(m):
            for column in range(m):
                y, x = top * u + row * side * s, left * u + column * side * s
                square = image[y : y + side * s, x : x + side * s].astype(np.float64)
                patches.append(square.reshape(side, s, side, s, 3).mean(axis=(1, 3)))
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float()
