import subprocess
import sys

import pytest

import flmm.visualization


def test_every_name_is_there():
    for name in flmm.visualization.__all__:
        assert getattr(flmm.visualization, name).__name__ == name


def test_unknown_name():
    with pytest.raises(AttributeError, match=r"module 'flmm\.visualization' has no attribute 'draw'"):
        flmm.visualization.draw  # noqa: B018


def test_pictures_of_layouts_do_not_load_mmdet():
    code = 'import sys\nfrom flmm.visualization import draw_selection, save_figure\n'
    code += "sys.exit(bool({'mmdet', 'mmengine', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
