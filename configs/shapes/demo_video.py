"""The demo on shapes in motion, whose frames the LMM reads as tokens of one video."""

_base_ = [
    '../_base_/schedules/adamw_1e.py',
    '../_base_/datasets/shapes_video.py',
    '../_base_/models/frozen_lmm_small_sam.py',
    '../_base_/lmms/demo.py',
]
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
default_hooks = dict(logger=dict(interval=20))
