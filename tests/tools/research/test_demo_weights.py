"""What eval_pointing.py and eval_sam.py write of the demo's weights, over few scenes."""

import itertools
import json

import numpy as np
import pytest
from demo_assets.sam import PromptedScenes
from tiny_refcoco import REPOSITORY, run_tool

from flmm.shapes import DIFFICULTY


def test_pointing(tmp_path, capsys):
    model = REPOSITORY / 'assets' / 'demo_lmm'
    run_tool('research/eval_pointing', model, '--scenes', '12', '--work-dir', tmp_path)
    found = json.loads((tmp_path / 'pointing.json').read_text())
    assert list(found) == ['trained', 'chance', 'untrained']
    header, _, *rows = [line.strip('| ').split(' | ') for line in capsys.readouterr().out.splitlines()]
    for name, _, *cells in rows:
        assert cells == [f'{found[name][kind]:.1f}' for kind in header[2:]]
    assert found['trained']['all'] > 80 > 10 > found['chance']['all'] > 0


def test_sam(tmp_path, capsys):
    run_tool('research/eval_sam', REPOSITORY / 'assets' / 'demo_sam', '--scenes', '2', '--work-dir', tmp_path)
    found = json.loads((tmp_path / 'sam.json').read_text())
    assert list(found) == ['easy', 'medium', 'hard']
    assert f'coarse {found["hard"]["coarse"]:.1f}' in capsys.readouterr().out
    for scores in found.values():
        assert scores.keys() == {'true box', 'jittered box', 'coarse mask', 'coarse mask and its box', 'coarse'}
    items = itertools.islice(PromptedScenes(DIFFICULTY['medium'], seed=1_000_003), 2)
    pairs = [pair for item in items for pair in zip(item['coarse'].numpy() > 0, item['masks'].numpy(), strict=True)]
    expected = 100 * np.mean([(guess & truth).sum() / (guess | truth).sum() for guess, truth in pairs])
    assert found['medium']['coarse'] == pytest.approx(expected, abs=1e-4)
    assert found['medium']['true box'] > 80  # 91 over 200 scenes


def test_the_demo_grounder_is_saved_as_it_is_in_assets(tmp_path):
    assets = REPOSITORY / 'assets'
    run_tool('research/save_demo_grounder', assets / 'model.safetensors', '--output', tmp_path)
    for name in ('config.json', 'model.safetensors'):
        assert (tmp_path / name).read_bytes() == (assets / name).read_bytes(), name
