"""Figures to files and pixels, without a display."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flmm.atomic_write import open_atomic


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write ``figure`` as PNG, making the folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(path) as file:
        FigureCanvasAgg(figure).print_png(file)


def figure_pixels(figure: Figure) -> np.ndarray:
    """Draw ``figure``: [H, W, 3] uint8, RGB."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
