"""Random token layouts, for tests."""

import torch

from flmm.apt.layout import TokenLayout


def random_layout(grid_size: tuple[int, int], *, seed: int = 0) -> TokenLayout:
    """Place tokens of size 4, then 2, at random, and fill the rest with units: written plainly, without flmm's code."""
    generator = torch.Generator().manual_seed(seed)
    h, w = grid_size
    free = torch.ones(h, w, dtype=torch.bool)
    tokens = []
    for size, share in ((4, 0.3), (2, 0.5), (1, 1.0)):
        for top in range(0, h - size + 1, size):
            for left in range(0, w - size + 1, size):
                square = free[top : top + size, left : left + size]
                if square.all() and float(torch.rand((), generator=generator)) < share:
                    square[:] = False
                    tokens.append((top, left, size))
    return TokenLayout(tokens=torch.tensor(sorted(tokens)), grid_size=grid_size)
