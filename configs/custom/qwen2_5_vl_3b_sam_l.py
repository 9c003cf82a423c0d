"""Qwen2.5-VL-3B with SAM ViT-L on data of one's own: splits train, val and test of data/mine/data.jsonl."""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/datasets/json_lines.py',
    '../_base_/models/frozen_lmm_sam_l.py',
    '../_base_/lmms/qwen2_5_vl_3b.py',
]
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
