"""Qwen2.5-VL-7B with SAM ViT-L on Ref-YouTube-VOS, tested on Ref-DAVIS."""

_base_ = ['../_base_/f_lmm_ref_youtube_vos.py', '../_base_/lmms/qwen2_5_vl_7b.py']
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
