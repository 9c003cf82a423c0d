"""What a module brings in: who imports a part of the package need not wait for the rest, nor have it installed."""

import importlib
import subprocess
import sys

import pytest

HEAVY = {'datasets', 'matplotlib', 'mmcv', 'mmdet', 'mmengine', 'segment_anything', 'torch', 'transformers', 'trl'}


@pytest.mark.parametrize(
    ('module', 'allowed'),
    [
        ('flmm', set()),
        ('flmm.cli.main', set()),
        ('flmm.families', set()),
        ('flmm.chat', set()),
        ('flmm.shapes', set()),
        ('flmm.scoring', set()),
        ('flmm.apt', {'torch'}),
        ('flmm.structures', {'torch'}),
        ('flmm.video', {'torch'}),
        ('flmm.visualization', {'torch', 'matplotlib'}),
        ('flmm.qwen', {'torch', 'transformers'}),
    ],
)
def test_a_part_imports_what_it_needs_alone(module, allowed):
    code = f'import sys, {module}; print(*({HEAVY} & set(sys.modules)))'
    found = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout.split()
    assert set(found) == allowed


@pytest.mark.parametrize(
    'package',
    [
        'flmm', 'flmm.apt', 'flmm.archive', 'flmm.chat', 'flmm.convert', 'flmm.data_check', 'flmm.datasets',
        'flmm.engine', 'flmm.evaluation', 'flmm.features', 'flmm.finetune', 'flmm.grounder', 'flmm.models', 'flmm.qwen',
        'flmm.reinforce', 'flmm.scoring', 'flmm.shapes', 'flmm.video', 'flmm.visualization',
    ],
)  # fmt: skip
def test_a_package_has_the_names_that_it_lists(package):
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))


def test_decoders_of_videos_come_when_a_file_is_read():
    code = 'import sys, flmm.video, flmm.finetune, flmm.qwen; print(*({"av", "torchcodec"} & set(sys.modules)))'
    found = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout.split()
    assert found == []


def test_a_tool_says_how_it_is_used_without_trl():
    code = (
        'import runpy, sys\n'
        'sys.modules.update(dict.fromkeys(("trl", "peft", "datasets", "vllm")))\n'  # importing them fails
        'sys.argv = ["reinforce_lmm.py", "--help"]\n'
        'runpy.run_path("tools/reinforce_lmm.py", run_name="__main__")'
    )
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, '')
    assert found.stdout.startswith('usage:')
