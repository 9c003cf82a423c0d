from matplotlib.figure import Figure
from matplotlib.image import imread

from flmm.visualization import save_figure


def test_save_figure(tmp_path):
    path = tmp_path / 'made' / 'deep' / 'figure.png'
    save_figure(Figure(figsize=(3, 2), dpi=100), path)
    assert imread(path).shape == (200, 300, 4)
