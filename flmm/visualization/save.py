"""Figures to files, without a display."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flmm.atomic_write import open_atomic


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write ``figure`` as PNG, making the folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(path) as file:
        FigureCanvasAgg(figure).print_png(file)
