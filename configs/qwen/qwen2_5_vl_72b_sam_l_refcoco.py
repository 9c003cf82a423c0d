"""Qwen2.5-VL-72B with SAM ViT-L on RefCOCO."""

_base_ = ['../_base_/f_lmm_refcoco.py', '../_base_/lmms/qwen2_5_vl_72b.py']
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
