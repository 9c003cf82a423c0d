import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny_refcoco import REPOSITORY

from flmm.memory import Load, estimated_bytes, weightless_model
from flmm.models.lmm_loading import LMMWithoutWeights

QWEN = REPOSITORY / 'configs' / 'qwen'


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('flmm')


def test_72_billion_are_counted_and_take_no_memory():
    model = weightless_model(Config.fromfile(QWEN / 'qwen2_5_vl_72b_sam_l_refcoco.py').model)
    assert {each.device.type for each in model.lmm.parameters()} == {'meta'}
    assert {each.device.type for each in model.sam.parameters()} == {'meta'}
    parts = estimated_bytes(model, Load(tokens=1000, phrases=8))
    assert parts['lmm'] / 1e9 == pytest.approx(2 * 73.41, abs=0.02)  # bfloat16
    assert parts['sam'] / 1e9 == pytest.approx(4 * 0.308, abs=0.01)  # SAM ViT-L's image encoder, float32
    # A key and a value in each of 80 layers, 8 heads, 128 wide, bfloat16
    assert parts['kept'] == 1000 * 2 * 80 * 8 * 128 * 2
    # Maps of 80 x 64 heads, float32; states of 80 layers of 4 tokens, bfloat16; SAM's embedding
    assert parts['maps'] == 8 * (4 * 5120 * 1000 + 2 * 4 * 80 * 8192) + 4 * 256 * 64 * 64


def test_stored_features_leave_the_lmm_out():
    model = weightless_model(Config.fromfile(QWEN / 'qwen2_5_vl_72b_sam_l_refcoco_cached.py').model)
    assert isinstance(model.lmm, LMMWithoutWeights)
    parts = estimated_bytes(model, Load(tokens=1000, phrases=8))
    assert (parts['lmm'], parts['kept']) == (0, 0)
    assert parts['working'] > 0


def test_other_sams_are_refused():
    config = Config.fromfile(QWEN / 'qwen2_5_vl_3b_sam2_1_l_refcoco.py')
    with pytest.raises(ValueError, match=r"sam\.type is 'build_hf_sam', but the memory of SAM's own models alone"):
        weightless_model(config.model)


def test_another_model_of_the_lmm_is_loaded_by_its_config(tmp_path):
    settings = Config.fromfile(QWEN / 'qwen2_5_vl_3b_sam_l_refcoco.py').model
    settings.lmm.name_or_path = str(tmp_path)
    with pytest.raises(ValueError, match=r'has no config\.json'):
        weightless_model(settings)
    demo = Config.fromfile(REPOSITORY / 'configs' / 'shapes' / 'demo.py').model
    demo = weightless_model({**demo, 'tracker': {'name_or_path': str(tmp_path)}})  # which is not loaded
    assert demo.lmm.dtype == torch.float32
