import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from tiny_refcoco import write_workspace

from flmm.models.build import build_model, without_tracker


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return Config.fromfile(write_workspace(tmp_path_factory.mktemp('workspace')))


def test_the_trained_part_is_loaded(config, tmp_path):
    torch.manual_seed(0)
    trained = build_model(config)
    path = tmp_path / 'trained.pth'
    torch.save({'state_dict': trained.state_dict(), 'meta': {'frozen_parts': trained.frozen_parts()}}, path)
    other = build_model(config)
    loaded = build_model(config, checkpoint=path)
    changed = 0
    for key, value in trained.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
        changed += not torch.equal(other.state_dict()[key], value)
    assert changed > 0


def test_the_scope_of_the_config_is_for_the_model_alone(config):
    with DefaultScope.overwrite_default_scope('mmengine'):
        build_model(config)
        assert DefaultScope.get_current_instance().scope_name == 'mmengine'


def test_a_checkpoint_that_is_not_there(config, tmp_path):
    with pytest.raises(ValueError, match=r"checkpoint '.*absent\.pth' does not exist"):
        build_model(config, checkpoint=tmp_path / 'absent.pth')


def test_the_config_of_a_model_without_its_tracker(config):
    model = {**config.model, 'tracker': {'name_or_path': 'absent'}}
    assert without_tracker(model) == without_tracker(config.model) == dict(config.model)
    assert 'tracker' in model
