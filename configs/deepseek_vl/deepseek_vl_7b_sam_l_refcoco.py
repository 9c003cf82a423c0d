"""DeepSeek-VL-7B with SAM ViT-L on RefCOCO, as F-LMM's frozen_deepseek_vl_7b_chat_unet_sam_l_refcoco_png."""

_base_ = ['../_base_/f_lmm_published.py', '../_base_/datasets/refcoco_f_lmm.py', '../_base_/lmms/deepseek_vl_7b.py']
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
