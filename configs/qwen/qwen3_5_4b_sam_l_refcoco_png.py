"""Qwen3.5-4B with SAM ViT-L on RefCOCO, RefCOCO+, RefCOCOg and PNG together."""

_base_ = ['../_base_/f_lmm_refcoco_png.py', '../_base_/lmms/qwen3_5_4b.py']
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
