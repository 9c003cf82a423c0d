"""The parts of tools/demo.py that are not the tools it calls."""

import importlib.util
import json
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
    assert demo.PROGRESS.search(line).groups() == ('1', '60/200', '0:03:10', '1.2300')
    assert demo.PROGRESS.search(line.replace('train', 'val')) is None


def test_a_failing_tool_stops_the_demo_and_shows_its_log(demo, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(
        RuntimeError, match=r"(?s)'absurd'.*tools/make_shapes\.py .* failed with code 1; the whole log is"
    ):
        demo.run_tool('make_shapes', '--out', str(tmp_path), '--difficulty', 'absurd', log=tmp_path / 'log', threads=1)


def test_figures_of_all_runs_come_together_under_names_of_their_own(demo, tmp_path):
    figures = {
        'demo': {'shapes_val_first_sentence/refined/mIoU': 90.0, 'shapes_val_first_sentence/refined/mIoU/size': 70.0},
        'existence': {
            'shapes_val_first_sentence/refined/mIoU': 88.0,
            'shapes_no_target_val_first_sentence/refined/N_acc': 92.0,
            'shapes_no_target_val_first_sentence/refined/N_acc_low': 90.0,
            'shapes_no_target_val_first_sentence/refined/N_acc_high': 96.0,
        },
    }
    for name, metrics in figures.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / 'metrics.json').write_text(json.dumps({**metrics, 'run': {'seed': 0}}))

    metrics, table = demo.collect({name: tmp_path / name for name in figures})

    assert metrics == {
        **figures['demo'],
        'existence_val_first_sentence/refined/mIoU': 88.0,
        **{key: value for key, value in figures['existence'].items() if 'no_target' in key},
    }
    assert ' '.join(table.split()) == (
        'first sentence shapes shapes_no_target val val refined mIoU demo 90.0 - existence 88.0 - '
        'refined N_acc existence - 92.0 ±3.0 '
        'Not shown, but in the JSON file of all metrics: mIoU of kinds'
    )
