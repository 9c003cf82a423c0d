"""Qwen2.5-VL-3B with SAM ViT-L on MeViS."""

_base_ = ['../_base_/f_lmm_mevis.py', '../_base_/lmms/qwen2_5_vl_3b.py']
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
