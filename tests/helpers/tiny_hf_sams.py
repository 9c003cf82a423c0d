"""transformers' SAMs of 64 px with random weights, no zeros among them: L 64, C 32, e 4 (SAM-HQ: 8)."""

import importlib.util

import pytest
import torch
from torch import nn
from transformers import (
    EdgeTamConfig,
    EdgeTamModel,
    PreTrainedModel,
    Sam2Config,
    Sam2HieraDetConfig,
    Sam2Model,
    SamHQConfig,
    SamHQModel,
    TimmWrapperConfig,
)

from flmm.models.sam import HfSam2, HfSamHQ, SamBackend

PROMPTS = {'hidden_size': 32, 'image_size': 64, 'mask_input_channels': 8}
DECODER = {'hidden_size': 32, 'mlp_dim': 48, 'num_attention_heads': 2, 'iou_head_hidden_dim': 24}
LINEAR = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
GRIDS = [[16, 16], [8, 8], [4, 4]]
KINDS = [
    'sam_hq',
    'sam2',
    pytest.param(
        'edgetam', marks=pytest.mark.skipif(not importlib.util.find_spec('timm'), reason='EdgeTAM needs timm')
    ),
]


def tiny_hf_sam(kind: str, seed: int = 0) -> PreTrainedModel:
    """The model as transformers has it; ``kind`` is one of ``KINDS``."""
    torch.manual_seed(seed)
    if kind == 'sam_hq':
        config = SamHQConfig(
            vision_config={
                'hidden_size': 24, 'output_channels': 32, 'num_hidden_layers': 3, 'num_attention_heads': 2,
                'image_size': 64, 'patch_size': 8, 'window_size': 3, 'global_attn_indexes': [1, 2],
                'num_pos_feats': 16, 'mlp_dim': 32,
            },
            prompt_encoder_config={**PROMPTS, 'patch_size': 8},
            mask_decoder_config={**DECODER, 'vit_dim': 24},
        )  # fmt: skip
        model = SamHQModel(config)
    elif kind == 'sam2':
        backbone = Sam2HieraDetConfig(
            hidden_size=8, image_size=[64, 64], embed_dim_per_stage=[8, 16, 24, 32], blocks_per_stage=[1, 1, 2, 1],
            num_attention_heads_per_stage=[1, 2, 2, 4], window_size_per_stage=[4, 2, 2, 2],
            global_attention_blocks=[3], window_positional_embedding_background_size=[2, 2],
        )  # fmt: skip
        model = Sam2Model(_config(Sam2Config, backbone, [32, 24, 16, 8]))
    else:
        backbone = TimmWrapperConfig(
            architecture='repvit_m1', model_args={'in_chans': 3, 'features_only': True, 'out_indices': [0, 1, 2, 3]}
        )
        model = EdgeTamModel(_config(EdgeTamConfig, backbone, [384, 192, 96, 48]))
    randomize(model)
    return model.eval()


def randomize(model: PreTrainedModel) -> None:
    """Make all that goes in change what comes out."""
    for path, module in model.named_modules():
        if 'timm_model' in path:  # deep, and random as it is
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, nn.Embedding):
                nn.init.normal_(parameter)
            elif isinstance(module, LINEAR) and name == 'weight':
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
            elif not parameter.any():  # positions and biases
                nn.init.normal_(parameter, std=0.1)


def tiny_hf_backend(kind: str, seed: int = 0) -> SamBackend:
    """The same for SAMWrapper."""
    backend = HfSamHQ if kind == 'sam_hq' else HfSam2
    return backend(model=tiny_hf_sam(kind, seed)).eval()


def _config(config_class: type, backbone: object, channels: list[int]) -> object:
    return config_class(
        vision_config={
            'backbone_config': backbone,
            'backbone_channel_list': channels,
            'backbone_feature_sizes': GRIDS,
            'fpn_hidden_size': 32,
        },
        prompt_encoder_config={**PROMPTS, 'patch_size': 16},
        mask_decoder_config=DECODER,
    )
