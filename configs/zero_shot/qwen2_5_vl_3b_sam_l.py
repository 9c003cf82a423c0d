"""Qwen2.5-VL-3B with SAM ViT-L, trained on RefCOCO, tested on ReasonSeg and GroundingSuite-Eval.

Checkpoints are those of configs/qwen/qwen2_5_vl_3b_sam_l_refcoco.py. Each sentence is in a forward of its own, as both
test sets are scored.
"""

_base_ = [
    '../_base_/f_lmm_refcoco.py',
    '../_base_/datasets/reason_seg.py',
    '../_base_/datasets/grounding_suite.py',
    '../_base_/lmms/qwen2_5_vl_3b.py',
]
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
each_alone = dict(_base_.to_sample, image_processor=_base_.image_processor, concat=False)
# ReasonSeg's masks are drawn on pictures as seen.
as_seen = [dict(type='PILLoadImageFromFile', orientation='apply'), dict(type='LoadMasks'), each_alone]
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='JointDataset',
        datasets=[*(dict(part, pipeline=as_seen) for part in _base_.reason_seg), _base_.grounding_suite],
        pipeline=[*_base_.loading, each_alone],
    )
)
