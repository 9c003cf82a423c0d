"""tools/check_data.py on sound data of each layout, the real COCO images among them: what it counts, by hand."""

import json
from pathlib import Path

import pytest
from broken_grounding_suite import write as write_grounding_suite
from broken_json_lines import write as write_json_lines
from broken_reason_seg import write as write_reason_seg
from coco_mini import GREFCOCO, PNG, REFCOCO, needs_coco_mini
from tiny_refcoco import REPOSITORY, run_script, run_tool

CONFIG = """
_base_ = {base!r}
pipeline = [dict(type='PILLoadImageFromFile', orientation='apply'), *_base_.pipeline[1:]]
test_dataloader = dict(dataset=dict(_delete_=True, pipeline=pipeline, **{dataset!r}))
"""


@pytest.fixture
def check(config, tmp_path):
    """Check a dataset; return exit code and report."""

    def check(dataset):
        path = tmp_path / 'layout.py'
        path.write_text(CONFIG.format(base=str(config), dataset=dataset))
        with pytest.raises(SystemExit) as stopped:
            run_tool('check_data', path, '--loaders', 'test', '--workers', '0', '--out', tmp_path / 'out')
        return stopped.value.code, json.loads((tmp_path / 'out' / 'report.json').read_text())

    return check


def counted(report):
    """The counts of each dataset that are not 0."""
    return {
        label.removeprefix('test/'): {name: count for name, count in found['counts'].items() if count}
        for label, found in report['datasets'].items()
    }


@needs_coco_mini
def test_refcoco(check):
    code, report = check({'type': 'RefCocoTestSets', 'name': 'refcoco', 'splits': ('train', 'val'), **REFCOCO})
    assert code == report['warnings'] == 0
    assert counted(report) == {
        'refcoco_train_first_sentence': {'images': 1, 'items': 1, 'phrases': 2},
        'refcoco_train_every_sentence': {'images': 1, 'items': 1, 'phrases': 5},
        'refcoco_val_first_sentence': {'images': 1, 'items': 1, 'phrases': 1},
        'refcoco_val_every_sentence': {'images': 1, 'items': 1, 'phrases': 2},
    }


@needs_coco_mini
def test_grefcoco(check):
    splits = {'splits': ('train', 'val', 'testB'), 'protocols': ('every_sentence',)}
    code, report = check(
        {'type': 'RefCocoTestSets', 'name': 'g', 'dataset_type': 'GRefCocoDataset', **splits, **GREFCOCO}
    )
    assert code == report['warnings'] == 0
    assert counted(report) == {
        'g_train_every_sentence': {'images': 2, 'items': 2, 'phrases': 6, 'no target': 1, 'several targets': 3},
        'g_val_every_sentence': {'images': 1, 'items': 1, 'phrases': 3, 'no target': 2},
        'g_testB_every_sentence': {'images': 1, 'items': 1, 'phrases': 2, 'no target': 1, 'several targets': 1},
    }


@needs_coco_mini
def test_png(check):
    code, report = check({'type': 'PNGDataset', **PNG})
    assert code == 0
    assert report['counts'] == {'left out': 1}
    assert 'left out 1 captions without a mask' in report['problems'][0]['message']
    numbers = {'phrases': 18, 'several targets': 5, 'thing': 13, 'stuff': 5, 'plural': 8}
    assert counted(report) == {'png': {'images': 3, 'items': 4, **numbers}}


def test_json_lines(check, tmp_path):
    write_json_lines(tmp_path / 'data')
    prefix = {'img_path': 'images', 'mask_path': '.'}
    dataset = {'type': 'JsonLinesDataset', 'ann_file': 'data.jsonl', 'text_mode': 'original', 'data_prefix': prefix}
    code, report = check({**dataset, 'name': 'mine', 'data_root': str(tmp_path / 'data')})
    assert code == 0
    assert report['counts'] == {'mask of everything': 1}  # mask.png
    assert counted(report) == {'mine': {'images': 2, 'items': 2, 'phrases': 5, 'no target': 1, 'plural': 2}}

    (tmp_path / 'data' / 'mask.png').unlink()
    code, report = check({**dataset, 'name': 'mine', 'data_root': str(tmp_path / 'data')})
    assert code == 1
    assert report['counts'] == {'mask file absent': 1}
    assert "mask.png', which does not exist" in report['problems'][0]['message']


def test_reason_seg(check, tmp_path):
    write_reason_seg(tmp_path / 'data')
    dataset = {'type': 'ReasonSegDataset', 'name': 'mine', 'data_prefix': {'img_path': 'val'}}
    code, report = check({**dataset, 'data_root': str(tmp_path / 'data')})
    assert code == report['warnings'] == 0
    assert counted(report) == {'mine': {'images': 1, 'items': 1, 'phrases': 1}}
    assert report['datasets']['test/mine']['kinds'] == {'long': 1}


def test_grounding_suite(check, tmp_path):
    write_grounding_suite(tmp_path / 'data')
    dataset = {'type': 'GroundingSuiteDataset', 'ann_file': 'suite.jsonl', 'data_prefix': {'img_path': ''}}
    code, report = check({**dataset, 'data_root': str(tmp_path / 'data')})
    assert code == report['warnings'] == 0
    assert counted(report) == {'grounding_suite': {'images': 1, 'items': 1, 'phrases': 2}}
    assert report['datasets']['test/grounding_suite']['kinds'] == {'stuff': 1, 'part': 1}


def test_a_setting_that_no_dataset_has_is_a_problem_of_that_dataset(check):
    code, report = check({'type': 'PNGDataset', 'colour': 'red', **PNG})
    assert code == 1
    assert report['counts'] == {'dataset': 1}
    assert "unexpected keyword argument 'colour'" in report['problems'][0]['message']


def test_the_six_pictures_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'assets').symlink_to(REPOSITORY / 'assets')
    pictures = Path('data', 'six_pictures')
    run_script(REPOSITORY / 'docs' / 'examples' / 'make_six_pictures.py', pictures)
    run_tool('convert_data', 'labelme', pictures, '--out', pictures / 'data.jsonl')
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run_tool('check_data', REPOSITORY / 'configs' / 'custom' / 'demo_six_pictures.py', '--workers', '0')
    assert stopped.value.code == 0
    page = (REPOSITORY / 'docs' / 'custom_data.md').read_text()
    for line in filter(None, capsys.readouterr().out.splitlines()):
        assert line.rstrip() in page
