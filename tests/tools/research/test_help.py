"""The commands of tools/research from the root of the repository, as the docs write them."""

import subprocess
import sys

import pytest
from tiny_refcoco import REPOSITORY

TOOLS = sorted(path.stem for path in (REPOSITORY / 'tools' / 'research').glob('*.py') if path.stem != 'f_lmm_ways')
HEAVY = {'torch', 'transformers', 'mmengine', 'mmdet'}


@pytest.mark.parametrize('tool', TOOLS)
def test_help_comes_before_anything_heavy_is_imported(tool):
    command = [sys.executable, '-X', 'importtime', f'tools/research/{tool}.py', '--help']
    found = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    assert f'python tools/research/{tool}.py' in found.stdout
    imported = {line.rpartition('|')[2].strip() for line in found.stderr.splitlines()}
    assert imported & HEAVY == set()
