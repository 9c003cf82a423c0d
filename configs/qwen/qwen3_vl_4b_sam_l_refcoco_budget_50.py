"""Qwen3-VL-4B with SAM ViT-L on RefCOCO, on half of the image tokens."""

_base_ = './qwen3_vl_4b_sam_l_refcoco.py'
from flmm.assembly import assemble

image_processor = dict(_base_.image_processor, patch_selection_method='budget', alpha=0.5)
model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_, image_processor=image_processor)
