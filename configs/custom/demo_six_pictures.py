"""The demo's models on six pictures of one's own: docs/custom_data.md."""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/schedules/adamw_1e.py',
    '../_base_/datasets/six_pictures.py',
    '../_base_/models/frozen_lmm_small_sam.py',
    '../_base_/lmms/demo.py',
]
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
train_cfg = dict(max_epochs=80, val_interval=20)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=80))
