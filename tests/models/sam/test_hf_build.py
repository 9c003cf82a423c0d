import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_hf_sams import KINDS, tiny_hf_sam
from transformers import EdgeTamVideoConfig, EdgeTamVideoModel, Sam2VideoConfig, Sam2VideoModel, SamConfig, SamModel

from flmm.models.mask_head.mask_refiner import SAMWrapper
from flmm.models.sam import HfSam2, HfSamHQ, build_hf_sam
from flmm.registry import MODELS

VIDEO = {'sam2': (Sam2VideoConfig, Sam2VideoModel), 'edgetam': (EdgeTamVideoConfig, EdgeTamVideoModel)}
MEMORY = {
    'image_size': 64, 'memory_attention_hidden_size': 32, 'memory_attention_num_layers': 1,
    'memory_encoder_hidden_size': 32, 'memory_encoder_output_channels': 8, 'memory_fuser_embed_dim': 32,
    'memory_fuser_intermediate_dim': 16, 'mask_downsampler_embed_dim': 32,
}  # fmt: skip
PERCEIVER = {'perceiver_resampler_hidden_size': 8, 'perceiver_resampler_num_layers': 1}
IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def refine(wrapper):
    coarse = torch.linspace(-3, 2, 60)[None, :, None].repeat(1, 1, 80)
    return wrapper(wrapper.encode_images([IMAGE])[0], (60, 80), coarse, [torch.ones(2, 32)])


@pytest.mark.parametrize('kind', KINDS)
@torch.no_grad()
def test_a_folder_is_loaded_as_it_was_saved(kind, tmp_path):
    source = tiny_hf_sam(kind, seed=3)
    source.save_pretrained(tmp_path)

    wrapper = MODELS.build({'type': 'SAMWrapper', 'sam': {'type': 'build_hf_sam', 'name_or_path': tmp_path}})

    backend = HfSamHQ if kind == 'sam_hq' else HfSam2
    assert type(wrapper.model) is backend
    assert {parameter.dtype for parameter in wrapper.parameters()} == {torch.float32}
    expected = refine(SAMWrapper(sam=backend(model=source)))
    torch.testing.assert_close(refine(wrapper), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize('kind', KINDS[1:])
@torch.no_grad()
def test_of_a_checkpoint_for_video_the_part_for_images_is_loaded(kind, tmp_path):
    """Published SAM 2.1 and EdgeTAM are such."""
    image_model = tiny_hf_sam(kind, seed=3)
    parts = {
        name: {**getattr(image_model.config, name).to_dict(), 'model_type': f'{kind}_{model_type}'}
        for name, model_type in (
            ('vision_config', 'vision_model'),
            ('prompt_encoder_config', 'video_prompt_encoder'),
            ('mask_decoder_config', 'video_mask_decoder'),
        )
    }
    config_class, model_class = VIDEO[kind]
    video_model = model_class(config_class(**parts, **MEMORY, **(PERCEIVER if kind == 'edgetam' else {})))
    _, unexpected = video_model.load_state_dict(image_model.state_dict(), strict=False)
    assert unexpected == []
    assert any(key.startswith('memory_') for key in video_model.state_dict())
    video_model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / 'config.json').read_text())['model_type'] == f'{kind}_video'

    wrapper = SAMWrapper(sam=build_hf_sam(name_or_path=str(tmp_path)))

    expected = refine(SAMWrapper(sam=HfSam2(model=image_model)))
    torch.testing.assert_close(refine(wrapper), expected, rtol=0, atol=1e-6)


def test_a_checkpoint_without_some_weights_is_refused(tmp_path):
    tiny_hf_sam('sam_hq').save_pretrained(tmp_path)
    weights = load_file(tmp_path / 'model.safetensors')
    del weights['mask_decoder.hq_token.weight']
    save_file(weights, tmp_path / 'model.safetensors', metadata={'format': 'pt'})

    with pytest.raises(ValueError, match=r'does not fit SamHQModel: .*mask_decoder\.hq_token\.weight'):
        build_hf_sam(name_or_path=tmp_path)


def test_another_model_is_refused(tmp_path):
    small = {'hidden_size': 32, 'image_size': 64, 'patch_size': 16}
    config = SamConfig(
        vision_config={**small, 'output_channels': 32, 'num_hidden_layers': 1, 'num_attention_heads': 2,
                       'num_pos_feats': 16, 'mlp_dim': 8, 'global_attn_indexes': [0]},
        prompt_encoder_config=small,
        mask_decoder_config={'hidden_size': 32, 'mlp_dim': 8, 'num_attention_heads': 2, 'iou_head_hidden_dim': 8},
    )  # fmt: skip
    SamModel(config).save_pretrained(tmp_path)
    message = f'{str(tmp_path)!r} holds a SamModel, expected one of SamHQModel, Sam2Model, EdgeTamModel; SAM itself is'

    with pytest.raises(ValueError, match=re.escape(message)):
        build_hf_sam(name_or_path=tmp_path)


def test_a_folder_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"folder '/nowhere/sam2' does not exist"):
        build_hf_sam(name_or_path='/nowhere/sam2')
