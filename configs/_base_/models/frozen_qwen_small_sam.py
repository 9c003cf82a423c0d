"""F-LMM's model, small: the mask head at a quarter of its width, the small Sam of assets/."""

_base_ = './frozen_qwen_sam_l.py'
model = dict(
    mask_head=dict(base_channels=16, upsample_input=32),
    sam=dict(sam=dict(_delete_=True, type='build_small_sam', checkpoint='assets/demo_sam/model.safetensors')),
)
