"""The parts of tools/demo.py that are not the tools it calls."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def demo():
    spec = importlib.util.spec_from_file_location('demo', ROOT / 'tools' / 'demo.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_progress_is_read_from_a_line_of_the_training_log(demo):
    line = (
        '11/21 02:26:17 - mmengine - INFO - Epoch(train) [1][ 60/200]  base_lr: 1.8e-03 lr: 1.8e-03  eta: 0:03:10  '
        'time: 1.3496  data_time: 0.0694  grad_norm: 1.3883  loss: 1.2300  loss_mask: 0.1414'
    )
    assert demo.PROGRESS.search(line).groups() == ('60/200', '0:03:10', '1.2300')
    assert demo.PROGRESS.search(line.replace('train', 'val')) is None


def test_a_failing_tool_stops_the_demo_and_shows_its_log(demo, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    run = demo.ToolRun('make_shapes', '--out', str(tmp_path), '--difficulty', 'absurd', log=tmp_path / 'log', threads=1)
    with pytest.raises(SystemExit, match=r'tools/make_shapes\.py .* failed with code 1; the whole log is'):
        run.wait()
    assert "'absurd'" in capsys.readouterr().out
