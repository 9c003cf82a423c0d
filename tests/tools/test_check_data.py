"""tools/check_data.py on a tiny RefCOCO with planted faults."""

import json
import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tiny_refcoco import REPOSITORY, run_tool

LOADERS = ('train', 'val', 'test')


@pytest.fixture
def check(config, tmp_path, capsys):
    """Check a copy of the tiny data; return exit code, report, stdout and stderr."""
    shutil.copytree(config.parent / 'data', tmp_path / 'data')

    def run(*arguments, options=()):
        roots = [f'{loader}_dataloader.dataset.data_root={tmp_path / "data"}' for loader in LOADERS]
        with pytest.raises(SystemExit) as stopped:
            run_tool(
                'check_data', config, '--out', tmp_path / 'out', '--workers', '0', *arguments, '--cfg-options', *roots,
                *options,
            )  # fmt: skip
        path = tmp_path / 'out' / 'report.json'
        report = json.loads(path.read_text()) if path.exists() else None
        return stopped.value.code, report, *capsys.readouterr()

    return run


def test_sound_data(check, tmp_path):
    code, report, out, err = check()

    assert code == 0
    assert (report['errors'], report['warnings'], report['problems']) == (0, 0, [])
    assert report['loaders'] == ['train', 'val', 'test']
    counts = {name: dataset['counts'] for name, dataset in report['datasets'].items()}
    # By hand, of REFS in tiny_refcoco: every text of train, the first sentences of the others, or all.
    assert {name: (found['images'], found['phrases']) for name, found in counts.items()} == {
        'train/train': (4, 17),
        'val/shapes_val_first_sentence': (1, 2),
        'test/shapes_val_first_sentence': (1, 2),
        'test/shapes_val_every_sentence': (1, 3),
        'test/shapes_testA_first_sentence': (2, 3),
        'test/shapes_testA_every_sentence': (2, 6),
        'test/shapes_testB_first_sentence': (2, 2),
        'test/shapes_testB_every_sentence': (2, 3),
    }
    assert report['datasets']['test/shapes_testA_every_sentence']['kinds'] == {'name': 3, 'clause': 3}
    assert report['datasets']['train/train']['measures']['image height in px'] == {
        'least': 56, '5 %': 60.2, 'median': 92, '95 %': 110.2, 'most': 112,
    }  # fmt: skip
    assert re.search(r'^train/train +4 +4 +17$', out, re.M)
    assert 'sound: 0 errors, 0 warnings' in out
    assert 'image/s' not in out  # the progress bar is beside the report
    assert '6/6' in err
    with Image.open(tmp_path / 'out' / 'report.png') as page:
        assert page.width == 1200


def plant(data):
    """Break each image of train in another way, and repeat one of val among its refs."""
    (data / 'images' / '1.png').unlink()
    content = (data / 'images' / '2.png').read_bytes()
    (data / 'images' / '2.png').write_bytes(content[: len(content) // 2])
    Image.fromarray(np.zeros((112, 56, 3), np.uint8)).save(data / 'images' / '3.png')
    refs = pickle.loads((data / 'refcoco' / 'refs(unc).p').read_bytes())
    refs[4]['sentences'] = [{'raw': 'a' * 300}]
    refs.append({**refs[6], 'ref_id': 99, 'split': 'train'})
    refs.append({**refs[7], 'ref_id': 98, 'split': 'train', 'sentences': [{'raw': 'Cat '}]})
    (data / 'refcoco' / 'refs(unc).p').write_bytes(pickle.dumps(refs))


PLANTED = {
    'image absent': ('1.png', ['train/train'], 'does not exist'),
    'image unreadable': ('2.png', ['train/train'], 'truncated'),
    'image size': ('3.png', ['train/train'], 'has 112x56 px (height x width), its annotation was made on 112x112'),
    'phrase': ('4.png', ['train/train'], 'has 300 tokens, max_phrase_tokens is 256'),
    'phrase twice': ('5.png', ['train/train'], "has the phrase 'cat' for several objects"),
}


def test_every_planted_fault_is_found(check, tmp_path):
    plant(tmp_path / 'data')

    code, report, out, _ = check()

    assert code == 1
    found = {problem['kind']: problem for problem in reversed(report['problems'])}
    assert report['counts'] == {**dict.fromkeys(PLANTED, 1), 'train and test': 7}
    for kind, (image, datasets, message) in PLANTED.items():
        problem = found[kind]
        assert problem['image'] == str(tmp_path / 'data' / 'images' / image)
        assert problem['datasets'] == datasets
        assert message in problem['message']
        assert kind in out
        assert message in out
    assert found['phrase']['entry'] == 'a' * 300
    assert found['train and test']['message'].startswith(
        "'train/train' and 'val/shapes_val_first_sentence' share images: 1;"
    )
    assert (report['errors'], report['warnings']) == (4, 8)
    assert out.index('problems found: 4 errors, 8 warnings') < out.index('report.json')
    assert (tmp_path / 'out' / 'report.png').exists()


def test_headers_alone(check, tmp_path):
    plant(tmp_path / 'data')
    code, report, *_ = check('--fast')
    assert code == 1
    assert report['fast'] is True
    assert {'image absent', 'image size', 'phrase', 'phrase twice'} <= set(report['counts'])


def test_loaders_are_chosen_and_warnings_alone_are_sound(check, tmp_path):
    plant(tmp_path / 'data')
    code, report, *_ = check('--loaders', 'val', 'test')
    assert code == 0
    assert report['counts'] == {}

    code, report, *_ = check('--loaders', 'train', 'val', options=['+train_dataloader.dataset.indices=[4]'])
    assert code == 0
    assert report['counts'] == {'phrase twice': 1, 'train and test': 1}


def test_annotations_that_do_not_load(check, tmp_path):
    refs = pickle.loads((tmp_path / 'data' / 'refcoco' / 'refs(unc).p').read_bytes())
    refs[0]['ann_id'] = 7
    (tmp_path / 'data' / 'refcoco' / 'refs(unc).p').write_bytes(pickle.dumps(refs))
    (tmp_path / 'data' / 'images' / '6.png').unlink()

    code, report, *_ = check()

    assert code == 1
    absent, broken = sorted(report['problems'], key=lambda problem: problem['kind'] == 'dataset')
    assert (broken['kind'], broken['datasets']) == ('dataset', ['train/train'])
    assert 'has ann_id 7, which' in broken['message']
    assert absent['kind'] == 'image absent'
    assert absent['datasets'] == [
        'test/shapes_testA_first_sentence', 'test/shapes_testA_every_sentence', 'test/shapes_testB_first_sentence',
        'test/shapes_testB_every_sentence',
    ]  # fmt: skip


def test_nothing_loads(check, tmp_path):
    (tmp_path / 'data' / 'refcoco' / 'instances.json').write_text('{"images": [')
    code, report, out, _ = check('--loaders', 'val')
    assert code == 1
    assert report['datasets'] == {}
    assert 'is not JSON' in out
    assert not (tmp_path / 'out' / 'report.png').exists()


def test_no_weights_are_loaded(check, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('weights are loaded')

    monkeypatch.setattr('flmm.pretrained.load_lmm', refuse)
    monkeypatch.setattr('transformers.PreTrainedModel.from_pretrained', refuse)
    assert check()[0] == 0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--loaders', 'valid'], 'invalid choice'),
        (['--workers', '-1'], 'must not be negative'),
        (['--max-problems', 'many'], 'invalid int value'),
    ],
)
def test_mistaken_arguments(check, arguments, message):
    code, report, _, err = check(*arguments)
    assert (code, report) == (2, None)
    assert message in err


def test_mistaken_configs(check, tmp_path, capsys):
    code, _, _, err = check(options=['val_dataloader.dataset.splits=7'])
    assert code == 2
    assert "the config has no 'val_dataloader.dataset.splits'" in err
    code, _, _, err = check('--loaders', 'val', options=['val_dataloader=None'])
    assert code == 2
    assert 'has no loader for val' in err
    with pytest.raises(SystemExit) as stopped:
        run_tool('check_data', tmp_path / 'nowhere.py')
    assert stopped.value.code == 2
    assert 'does not exist' in capsys.readouterr().err


def test_in_a_process_of_its_own(config, tmp_path):
    command = [sys.executable, REPOSITORY / 'tools' / 'check_data.py', config, '--workers', '2', '--out', tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('dataset ')
    assert 'sound: 0 errors, 0 warnings' in done.stdout
