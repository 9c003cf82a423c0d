"""The demo grounder lies in assets, and a wheel has it beside the package."""

import shutil

from saved_grounders import assert_equal
from tiny_refcoco import REPOSITORY

from flmm import Grounder
from flmm.grounder import demo, demo_folder

TAKEN = ('config.json', 'model.safetensors', 'demo_lmm', 'demo_sam')


def test_what_a_wheel_takes_is_enough(tmp_path, monkeypatch):
    assert demo_folder() == REPOSITORY / 'assets'
    wheel = (REPOSITORY / 'pyproject.toml').read_text()
    package = tmp_path / 'flmm'
    (package / 'demo_grounder').mkdir(parents=True)
    for name in TAKEN:
        assert f'"assets/{name}"' in wheel
        source, target = REPOSITORY / 'assets' / name, package / 'demo_grounder' / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    assert 'sources = { "assets" = "flmm/demo_grounder" }' in wheel
    expected = Grounder.from_pretrained(demo_folder())
    monkeypatch.setattr(demo, '__file__', str(package / 'grounder' / 'demo.py'))
    assert demo_folder() == package / 'demo_grounder'
    assert_equal(expected, Grounder.from_pretrained(demo_folder()), ['the red circle'])
