"""Qwen2.5-VL-3B with SAM 2.1 Hiera-L on RefCOCO."""

_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/datasets/refcoco.py',
    '../_base_/models/frozen_qwen_sam2_1_l.py',
    '../_base_/lmms/qwen2_5_vl_3b.py',
]
model = dict(lmm=_base_.lmm)
to_sample = dict(
    type='RefCOCO2PNG',
    image_processor=_base_.image_processor,
    prompt='Please give me a description of the image.',
)
pipeline = [*_base_.loading, to_sample]
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(pipeline=pipeline))
