"""Shared by the tests of stored features: a tiny data set with models, and its features, stored once."""

import shutil

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny_refcoco import REPOSITORY, run_tool, write_cached_config, write_workspace


@pytest.fixture(scope='session')
def workspace(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp('workspace'))


@pytest.fixture(scope='session')
def cached_config(workspace):
    """A config whose loaders read stored features; they are stored."""
    path = write_cached_config(workspace)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        run_tool('cache_features', path, '--num-workers', '0', '--batch-size', '2')
    return path


@pytest.fixture
def config(cached_config, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    init_default_scope('flmm')
    return Config.fromfile(cached_config)


@pytest.fixture
def moved(config, workspace, tmp_path):
    """A copy of the workspace, which a test may change, and the settings of its validation set."""
    root = tmp_path / 'moved'
    shutil.copytree(workspace.parent, root)  # keeps time stamps

    def replaced(value):
        if isinstance(value, dict):
            return {key: replaced(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [replaced(inner) for inner in value]
        return value.replace(str(workspace.parent), str(root)) if isinstance(value, str) else value

    return root, replaced(config.val_dataloader.dataset.to_dict())
