"""F-LMM's model, small: a quarter of the mask head's width, half of its grid, and the small Sam of assets/."""

_base_ = './frozen_lmm_sam_l.py'
model = dict(
    mask_head=dict(base_channels=16, upsample_input=32),
    sam=dict(
        sam=dict(
            _delete_=True,
            type='build_small_sam',
            image_size=256,
            encoder_embed_dim=64,
            encoder_depth=3,
            encoder_global_attn_indexes=(1, 2),
            prompt_embed_dim=64,
            decoder_mlp_dim=128,
            checkpoint='assets/demo_sam/model.safetensors',
        )
    ),
)
