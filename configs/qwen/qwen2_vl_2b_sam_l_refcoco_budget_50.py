"""Qwen2-VL-2B with SAM ViT-L on RefCOCO, on half of the image tokens."""

_base_ = './qwen2_vl_2b_sam_l_refcoco.py'
image_processor = dict(_base_.image_processor, patch_selection_method='budget', alpha=0.5)
pipeline = [*_base_.loading, dict(_base_.to_sample, image_processor=image_processor)]
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(pipeline=pipeline))
