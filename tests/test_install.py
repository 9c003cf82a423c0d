"""How the package is found once it is installed."""

import os
import subprocess
import sys
from pathlib import Path


def test_a_script_above_a_clone_named_flmm_finds_the_package(tmp_path):
    """There, Python sees the clone's folder first, which has no __init__.py: a namespace package must not win."""
    (tmp_path / 'flmm' / 'docs').mkdir(parents=True)
    (tmp_path / 'script.py').write_text('import flmm, sys; print(flmm.__file__, "mmcv" in sys.modules)')
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    found = subprocess.run(
        [sys.executable, tmp_path / 'script.py'],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert found == [str(Path(__file__).parents[1] / 'flmm' / '__init__.py'), 'False']
