"""Qwen2.5-VL-3B with SAM ViT-H on RefCOCO."""

_base_ = './qwen2_5_vl_3b_sam_l_refcoco.py'
model = dict(sam=dict(sam=dict(model_type='vit_h', checkpoint='checkpoints/sam_vit_h_4b8939.pth')))
