"""A family that lives outside of the package, as docs/add_an_lmm.md says: one module, one config."""

import sys
from importlib import import_module
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope
from tiny_deepseek_vl import PROMPT_TEMPLATE, tiny_lmm, tiny_processor
from tiny_families import make_sample
from tiny_models import tiny_sam

from flmm.config import read_config
from flmm.families import FAMILIES
from flmm.models import SAMWrapper
from flmm.registry import MODELS, TRANSFORMS

MODULE = """
from transformers import DeepseekVLConfig, DeepseekVLForConditionalGeneration, DeepseekVLProcessor
from flmm.datasets.deepseek_vl_image_processor import DeepseekVLImageProcessorWrapper
from flmm.families import FAMILIES, Family
from flmm.models.frozen_deepseek_vl import FrozenDeepseekVLSAM
from flmm.registry import MODELS, TRANSFORMS

class OutsideConfig(DeepseekVLConfig):
    model_type = 'outside_vl'

class OutsideForConditionalGeneration(DeepseekVLForConditionalGeneration):
    config_class = OutsideConfig

class OutsideProcessor(DeepseekVLProcessor):
    pass

FAMILIES['outside_vl'] = Family(
    lmm='OutsideForConditionalGeneration',
    processor='OutsideProcessor',
    model='outside_family.FrozenOutsideSAM',
    image_processor='outside_family.OutsideImageProcessorWrapper',
)

@MODELS.register_module()
class FrozenOutsideSAM(FrozenDeepseekVLSAM):
    pass

@TRANSFORMS.register_module()
class OutsideImageProcessorWrapper(DeepseekVLImageProcessorWrapper):
    pass
"""
LMM = f"""
custom_imports = dict(imports=['outside_family'])
frozen_lmm = 'FrozenOutsideSAM'
lmm = dict(type='pretrained_lmm', name_or_path='checkpoints/outside')
image_processor = dict(
    type='OutsideImageProcessorWrapper',
    pretrained_model_name_or_path='checkpoints/outside',
    prompt_template={PROMPT_TEMPLATE!r},
)
"""
CONFIG = """
_base_ = ['{base}/f_lmm_refcoco.py', './outside_vl.py']
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    base = Path(__file__).parents[2] / 'configs' / '_base_'
    (tmp_path / 'outside_family.py').write_text(MODULE)
    (tmp_path / 'outside_vl.py').write_text(LMM)
    (tmp_path / 'config.py').write_text(CONFIG.format(base=base))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    FAMILIES.pop('outside_vl', None)
    MODELS.module_dict.pop('FrozenOutsideSAM', None)
    TRANSFORMS.module_dict.pop('OutsideImageProcessorWrapper', None)
    sys.modules.pop('outside_family', None)


def test_a_config_brings_a_family_from_outside_of_the_package(folder):
    config = read_config(folder / 'config.py')
    outside = import_module('outside_family')
    inside = tiny_lmm().config
    lmm = outside.OutsideForConditionalGeneration(
        outside.OutsideConfig(
            text_config=inside.text_config, vision_config=inside.vision_config, image_token_id=inside.image_token_id
        )
    )
    stock = tiny_processor()
    processor = outside.OutsideProcessor(image_processor=stock.image_processor, tokenizer=stock.tokenizer)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = MODELS.build({**config.model, 'lmm': lmm.eval(), 'sam': SAMWrapper(sam=tiny_sam())})
        wrapper = TRANSFORMS.build(
            {
                **config.train_dataloader.dataset.pipeline[-1].image_processor,
                'pretrained_model_name_or_path': processor,
            }
        )
    assert type(model) is outside.FrozenOutsideSAM
    assert type(wrapper) is outside.OutsideImageProcessorWrapper
    (found,) = model([make_sample(wrapper, ['a', 'b c'], size=(56, 84))], mode='predict')
    assert found.sam_pred_masks.shape == (2, 56, 84)
    assert found.sam_pred_masks.isfinite().all()
