"""The demo from stored features: ``python tools/cache_features.py configs/shapes/demo_cached.py`` makes them."""

_base_ = './demo.py'
cached = dict(_delete_=True, type='CachedFeatures', model=_base_.model)
train_dataloader = dict(
    dataset=dict(folder='work_dirs/demo_features/train', dataset=_base_.train_dataloader.dataset, **cached)
)
val_dataloader = dict(
    dataset=dict(folder='work_dirs/demo_features/val', dataset=_base_.val_dataloader.dataset, **cached)
)
# The features know what the LMM says; a checkpoint is tested with configs/shapes/demo.py.
model = dict(lmm=dict(type='LMMWithoutWeights'))
