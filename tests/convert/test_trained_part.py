import pytest
from mmengine.config import Config
from published_f_lmm import FREQUENCIES
from tiny_grounder import LOSSES
from tiny_refcoco import REPOSITORY

from flmm.config import read_config
from flmm.convert import TrainedPart, build_without_weights
from flmm.registry import MODELS


def test_the_part_is_that_of_the_model_with_weights():
    config = read_config(REPOSITORY / 'configs' / 'shapes' / 'demo.py')
    before = config.model.to_dict()
    model = build_without_weights(config)
    assert config.model.to_dict() == before
    assert {parameter.device.type for parameter in model.parameters()} == {'meta'}
    part = TrainedPart.of(model)
    real = MODELS.build(config.model)
    assert part.weights == {key: value.shape for key, value in real.state_dict().items()}
    assert part.buffers[FREQUENCIES] == real.get_buffer(FREQUENCIES).shape == (2, 32)


def test_paths_of_weights_are_not_opened():
    config = read_config(REPOSITORY / 'configs' / 'shapes' / 'demo.py', {'model.sam.sam.checkpoint': 'absent.pth'})
    config.model.lmm.type = 'random_lmm'
    assert len(TrainedPart.of(build_without_weights(config)).weights) == 192


def test_a_tracker_is_left_out():
    path = REPOSITORY / 'configs' / 'shapes' / 'demo.py'
    model = build_without_weights(read_config(path, {'+model.tracker.name_or_path': 'absent'}))
    assert model.tracker is None
    assert TrainedPart.of(model) == TrainedPart.of(build_without_weights(read_config(path)))


@pytest.mark.parametrize('lmm', [None, {'type': 'pretrained_lmm'}])
def test_an_lmm_without_a_name(lmm):
    config = Config({'model': {'type': 'FrozenQwenSAM', 'lmm': lmm, 'sam': {}, **LOSSES}})
    with pytest.raises(ValueError, match=r'model\.lmm is .*, expected a dict with name_or_path'):
        build_without_weights(config)
