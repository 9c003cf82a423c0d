"""Qwen2.5-VL-72B, SAM ViT-L and RefCOCO from stored features, each image with three drawings of sentences."""

_base_ = './qwen2_5_vl_72b_sam_l_refcoco.py'
cached = dict(_delete_=True, type='CachedFeatures', model=_base_.model)
train_dataloader = dict(
    dataset=dict(
        folder='data/features/qwen2_5_vl_72b_sam_l_refcoco/train',
        dataset=_base_.train_dataloader.dataset,
        draws=3,
        **cached,
    )
)
val_dataloader = dict(
    dataset=dict(
        folder='data/features/qwen2_5_vl_72b_sam_l_refcoco/val', dataset=_base_.val_dataloader.dataset, **cached
    )
)
# The features know what the LMM says; a checkpoint is tested with the config that this one starts from.
model = dict(lmm=dict(type='LMMWithoutWeights'))
