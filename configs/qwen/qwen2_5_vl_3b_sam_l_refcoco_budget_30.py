"""Qwen2.5-VL-3B with SAM ViT-L on RefCOCO, on 30 % of the image tokens, or as few as can cover the image."""

_base_ = './qwen2_5_vl_3b_sam_l_refcoco.py'
from flmm.assembly import assemble

image_processor = dict(_base_.image_processor, patch_selection_method='budget', alpha=0.3)
model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_, image_processor=image_processor)
