"""Qwen2.5-VL-7B with SAM ViT-L on MeViS."""

_base_ = ['../_base_/f_lmm_mevis.py', '../_base_/lmms/qwen2_5_vl_7b.py']
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
