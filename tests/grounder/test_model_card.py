"""The model card says what was measured, or that nothing was."""

import json
from pathlib import Path

import pytest
from saved_grounders import build, saved_config, write_frozen


@pytest.fixture(scope='module')
def frozen(tmp_path_factory):
    return write_frozen(tmp_path_factory.mktemp('frozen'))


def test_the_model_card_has_the_figures_and_how_to_use_it(frozen, tmp_path):
    metrics = {
        'refcoco_val/refined/cIoU': 71.25, 'refcoco_val/coarse/cIoU': 60.0,
        'run': {'config': 'a.py', 'checkpoint': '/home/me/runs/epoch_8.pth', 'date': '2026-11-26T00:00:00+00:00'},
    }  # fmt: skip
    (tmp_path / 'metrics.json').write_text(json.dumps(metrics))
    config = saved_config(frozen)
    config['to_sample']['prompt'] = 'Look\nhere.'
    build(config).save_pretrained(tmp_path / 'card', metrics=tmp_path / 'metrics.json')
    card = (tmp_path / 'card' / 'README.md').read_text()
    assert card.startswith('---\nlibrary_name: flmm\npipeline_tag: image-segmentation\n')
    assert "Grounder.from_pretrained('card', lmm='lmm', sam_checkpoint='sam.safetensors')" in card
    (row,) = [line for line in card.splitlines() if line.startswith('refined cIoU')]
    assert row.split()[-1] == '71.2'
    assert 'config `a.py`, checkpoint `epoch_8.pth`, date `2026-11-26T00:00:00+00:00`' in card
    assert 'Not measured' not in card
    assert '    Look\\nhere.\n' in card

    build(config).save_pretrained(tmp_path / 'without')
    assert 'Not measured. `tools/test.py` measures' in (tmp_path / 'without' / 'README.md').read_text()


@pytest.mark.parametrize(
    ('metrics', 'message'),
    [
        ('absent.json', r"metrics 'absent\.json' does not exist"),
        ('list.json', r"metrics 'list\.json' holds \[1\], expected the object that tools/test\.py writes"),
        ([1], r'metrics are \[1\], expected the path of a metrics\.json'),
    ],
)
def test_metrics_that_are_none_are_refused(metrics, message, frozen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('list.json').write_text('[1]')
    with pytest.raises(ValueError, match=message):
        build(saved_config(frozen)).save_pretrained('saved', metrics=metrics)
    assert not Path('saved').exists()
