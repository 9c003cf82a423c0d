"""The placeholder for mmcv's compiled ops, in this process on a copy of ``sys.meta_path`` and in fresh ones."""

import importlib
import subprocess
import sys

import mmcv
import pytest
from mmcv.utils import ext_loader

from flmm.mmcv_ops import (
    EXTENSION_NAME,
    MissingCompiledOpError,
    PlaceholderExtension,
    PlaceholderFinder,
    install_placeholder,
)


@pytest.fixture
def fresh_import(monkeypatch):
    """No ``mmcv._ext`` is loaded, and the only placeholder finder is the one that the test installs."""
    others = [finder for finder in sys.meta_path if not isinstance(finder, PlaceholderFinder)]
    monkeypatch.setattr(sys, 'meta_path', others)
    monkeypatch.delitem(sys.modules, EXTENSION_NAME, raising=False)
    monkeypatch.setattr(mmcv, '_ext', None, raising=False)  # importing sets it; monkeypatch puts the old one back
    importlib.invalidate_caches()


def run_python(code):
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize('name', ['mmcv', 'mmcv.ops', 'mmcv._ext.nms', 'mmcv._extra', '_ext', 'mmdet._ext', ''])
def test_finder_answers_for_nothing_else(name):
    assert PlaceholderFinder().find_spec(name) is None


@pytest.mark.usefixtures('fresh_import')
def test_extension_is_importable_only_after_installing():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'mmcv\._ext'"):
        importlib.import_module(EXTENSION_NAME)

    install_placeholder()

    extension = importlib.import_module(EXTENSION_NAME)
    assert isinstance(extension, PlaceholderExtension)
    assert extension.__name__ == 'mmcv._ext'
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'mmcv\._extra'"):
        importlib.import_module('mmcv._extra')


@pytest.mark.usefixtures('fresh_import')
def test_real_extension_wins(monkeypatch, tmp_path):
    (tmp_path / '_ext.py').write_text("def nms():\n    return 'compiled'\n")
    monkeypatch.setattr(mmcv, '__path__', [*mmcv.__path__, str(tmp_path)])

    install_placeholder()

    extension = importlib.import_module(EXTENSION_NAME)
    assert extension.nms() == 'compiled'
    assert not isinstance(extension, PlaceholderExtension)


@pytest.mark.usefixtures('fresh_import')
def test_installing_twice_adds_one_finder_at_the_end():
    before = list(sys.meta_path)

    install_placeholder()
    install_placeholder()

    assert sys.meta_path[:-1] == before
    assert isinstance(sys.meta_path[-1], PlaceholderFinder)


def test_missing_op_says_what_to_do_when_it_is_called():
    extension = PlaceholderExtension(EXTENSION_NAME)

    nms = extension.nms  # mmcv.ops looks functions up at import, so access must work

    assert nms.__name__ == 'nms'
    with pytest.raises(
        MissingCompiledOpError, match=r"function 'nms' needs the compiled mmcv.*mim install \"mmcv>=2\.0\.0,<2\.2\.0\""
    ):
        nms(1, iou_threshold=0.5)
    assert issubclass(MissingCompiledOpError, ImportError)


def test_module_attributes_are_not_invented():
    extension = PlaceholderExtension(EXTENSION_NAME)

    for name in ('__path__', '__file__', '__wrapped__'):
        assert not hasattr(extension, name)


def test_importing_it_alone_is_cheap_and_imports_none_of_the_libraries():
    loaded = run_python('import sys, flmm.mmcv_ops; print(*{name.partition(".")[0] for name in sys.modules})')

    assert 'flmm' in loaded
    assert not {'mmcv', 'mmdet', 'mmengine', 'torch', 'transformers'} & set(loaded)


@pytest.mark.usefixtures('fresh_import')
def test_mmcv_finds_every_function_it_looks_up():
    install_placeholder()

    extension = ext_loader.load_ext('_ext', ['nms', 'roi_align_forward'])  # as mmcv.ops does when it is imported

    assert isinstance(extension, PlaceholderExtension)
