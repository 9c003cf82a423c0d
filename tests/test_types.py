"""The type checker of `make lint`, as ty.toml sets it: it must find wrong calls of the package in any new file."""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_refcoco import REPOSITORY

RIGHT = """
import torch

from flmm.apt.layout import TokenLayout
from flmm.engine import FiniteCheckHook
from flmm.models import UNetHead
from flmm.run_series import smoothed

layout = TokenLayout.dense((2, 3))
hook = FiniteCheckHook(max_streak=2)
attention: torch.Tensor = layout.to_dense(torch.zeros(6), mode='copy')
lines = smoothed([1.0], window=2)
"""


@pytest.fixture
def check(tmp_path):
    """Check a file of the project that has this text; return ty's exit status and what it says, a line a finding."""

    def check(text):
        path = tmp_path / 'example.py'
        path.write_text(text)
        done = subprocess.run(
            [Path(sys.executable).with_name('ty'), 'check', '--python', sys.prefix, '--output-format', 'concise', path],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return check


def test_right_calls_pass(check):
    assert check(RIGHT) == (0, 'All checks passed!\n')


@pytest.mark.parametrize(
    ('right', 'wrong', 'found'),
    [
        ('max_streak=2', 'max_steak=2', 'unknown-argument'),
        ('max_streak=2', '2', 'too-many-positional-arguments'),
        ('max_streak=2', "max_streak='2'", 'invalid-argument-type'),
        ('dense((2, 3))', 'dense()', 'missing-argument'),
        ('dense((2, 3))', 'dense(6)', 'invalid-argument-type'),
        ('layout.to_dense', 'layout.todense', 'missing-attribute'),
        ('lines = smoothed', 'lines: int = smoothed', 'invalid-assignment'),
        ('import smoothed', 'import smooth', 'missing-module-member'),
    ],
)
def test_wrong_calls_fail(right, wrong, found, check):
    assert right in RIGHT
    status, said = check(RIGHT.replace(right, wrong))
    assert status == 1
    assert f'[{found}]' in said
