"""The demo: a small Qwen2.5-VL and a small SAM on synthetic shapes, on a CPU in minutes."""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/schedules/adamw_1e.py',
    '../_base_/datasets/shapes.py',
    '../_base_/models/frozen_qwen_small_sam.py',
    '../_base_/lmms/demo.py',
]
model = dict(lmm=_base_.lmm)
to_sample = dict(
    type='RefCOCO2PNG',
    image_processor=_base_.image_processor,
    prompt='Locate the shapes.',
)
pipeline = [*_base_.loading, to_sample]
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(pipeline=pipeline))
default_hooks = dict(logger=dict(interval=20))
