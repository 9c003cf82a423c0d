"""The type checker of `make lint`, as ty.toml sets it: it must find wrong calls of the package in any new file."""

import re
import subprocess
import sys
from pathlib import Path

from tiny_refcoco import REPOSITORY

RIGHT = """
import torch

from flmm.apt.layout import TokenLayout
from flmm.engine import FiniteCheckHook
from flmm.run_series import smoothed

layout = TokenLayout.dense((2, 3))
hook = FiniteCheckHook(max_streak=2)
attention: torch.Tensor = layout.to_dense(torch.zeros(6), mode='copy')
lines = smoothed([1.0], window=2)
"""

WRONG = {
    'from flmm.run_series import smooth': 'missing-module-member',
    'FiniteCheckHook(max_steak=2)': 'unknown-argument',
    'FiniteCheckHook(2)': 'too-many-positional-arguments',
    "FiniteCheckHook(max_streak='2')": 'invalid-argument-type',
    'TokenLayout.dense()': 'missing-argument',
    'TokenLayout.dense(6)': 'invalid-argument-type',
    'layout.todense(torch.zeros(6))': 'missing-attribute',
    'number: int = smoothed([1.0], window=2)': 'invalid-assignment',
}


def test_wrong_calls_are_found_and_right_ones_are_not(tmp_path):
    path = tmp_path / 'example.py'
    path.write_text(RIGHT + '\n'.join(WRONG))
    ty = Path(sys.executable).with_name('ty')
    done = subprocess.run(
        [ty, 'check', '--python', sys.prefix, '--output-format', 'concise', path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    lines = path.read_text().splitlines()
    found = [
        (lines[int(line) - 1], rule) for line, rule in re.findall(r'py:(\d+):\d+: error\[([a-z-]+)\]', done.stdout)
    ]
    assert found == list(WRONG.items())
