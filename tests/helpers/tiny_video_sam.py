"""transformers' SAM 2 for video, of 64 px, with random weights, no zeros among them."""

import torch
from tiny_hf_sams import DECODER, PROMPTS, randomize, tiny_hf_sam
from transformers import Sam2VideoConfig, Sam2VideoModel

WIDTH = 128  # of all parts but the memories, whose width transformers' memory attention takes to be 64, and half


def tiny_video_sam(seed: int = 0) -> Sam2VideoModel:
    """A model that remembers three tracked frames, and four pointers to the object."""
    vision = {**tiny_hf_sam('sam2').config.vision_config.to_dict(), 'fpn_hidden_size': WIDTH}
    torch.manual_seed(seed)
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={**PROMPTS, 'hidden_size': WIDTH, 'patch_size': 16},
        mask_decoder_config={**DECODER, 'hidden_size': WIDTH},
        image_size=64,
        num_maskmem=4,
        max_object_pointers_in_encoder=5,
        memory_attention_hidden_size=WIDTH,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=WIDTH,
        memory_encoder_output_channels=WIDTH // 2,
        memory_fuser_embed_dim=WIDTH,
        memory_fuser_intermediate_dim=16,
        mask_downsampler_embed_dim=WIDTH,
    )
    model = Sam2VideoModel(config)
    randomize(model)
    return model.eval()
