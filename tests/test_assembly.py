"""What a config's last line makes of the parts that its base names."""

import pytest
from mmengine.config import ConfigDict

from flmm.assembly import assemble

BASE = ConfigDict(
    frozen_lmm='FrozenQwenSAM',
    lmm={'type': 'pretrained_lmm', 'name_or_path': 'somewhere'},
    image_processor={'type': 'Wrapper', 'alpha': 1.0},
    loading=[{'type': 'Load'}],
    to_sample={'type': 'RefCOCO2PNG', 'prompt': 'Where?'},
)


def processors(*loaders):
    return [loader['dataset']['pipeline'][-1]['image_processor'] for loader in loaders]


def test_model_and_loaders_get_what_the_base_names():
    model, *loaders = assemble(BASE)
    assert model == {'type': 'FrozenQwenSAM', 'lmm': BASE.lmm}
    sample = {'type': 'RefCOCO2PNG', 'prompt': 'Where?', 'image_processor': BASE.image_processor}
    assert loaders == [{'dataset': {'pipeline': [{'type': 'Load'}, sample]}}] * 3


def test_another_image_processor_is_everybodys_or_that_of_tests_alone():
    given, other = {'alpha': 0.3}, {'alpha': (0.3, 1.0)}
    assert processors(*assemble(BASE, image_processor=given)[1:]) == [given] * 3
    found = assemble(BASE, image_processor=given, train_image_processor=other)[1:]
    assert processors(*found) == [other, given, given]


def test_what_the_base_lacks_is_named():
    with pytest.raises(ValueError, match='_base_ says nothing of frozen_lmm, lmm; add files of configs/_base_'):
        assemble({name: BASE[name] for name in ('image_processor', 'loading', 'to_sample')})
