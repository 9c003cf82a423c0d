"""The demo: a small Qwen2.5-VL and a small SAM on synthetic shapes, on a CPU in minutes."""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/schedules/adamw_1e.py',
    '../_base_/datasets/shapes.py',
    '../_base_/models/frozen_lmm_small_sam.py',
    '../_base_/lmms/demo.py',
]
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
default_hooks = dict(logger=dict(interval=20))
