"""Qwen2.5-VL-3B with SAM ViT-L on RefCOCO, trained over budgets of 30 to 100 %, tested on 30 % of the image tokens."""

_base_ = './qwen2_5_vl_3b_sam_l_refcoco.py'
from flmm.assembly import assemble

train_processor = dict(_base_.image_processor, patch_selection_method='budget', alpha=(0.3, 1.0))
test_processor = dict(train_processor, alpha=0.3)
model, train_dataloader, val_dataloader, test_dataloader = assemble(
    _base_, image_processor=test_processor, train_image_processor=train_processor
)
