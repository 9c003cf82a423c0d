"""LLaVA-1.5-7B with SAM ViT-L on RefCOCO, RefCOCO+, RefCOCOg and PNG together.

As F-LMM's frozen_llava_1_5_vicuna_7b_unet_sam_l_refcoco_png.
"""

_base_ = [
    '../_base_/f_lmm_published.py',
    '../_base_/datasets/refcoco_png_f_lmm.py',
    '../_base_/lmms/llava_1_5_7b.py',
]
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
