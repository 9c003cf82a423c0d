"""Qwen2-VL-2B with SAM ViT-L on RefCOCO, RefCOCO+, RefCOCOg and PNG together."""

_base_ = ['../_base_/f_lmm_refcoco_png.py', '../_base_/lmms/qwen2_vl_2b.py']
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
