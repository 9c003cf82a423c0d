"""The demo with an existence head on top: the head alone is trained, from stored features, and masks stay as they are.

Masks come from the checkpoint of configs/shapes/demo.py, so train that first, or run ``make demo``:

    python tools/cache_features.py configs/shapes/demo_existence.py
    python tools/train.py configs/shapes/demo_existence.py

The checkpoint is tested with configs/shapes/demo_no_target.py.
"""

_base_ = './demo_no_target.py'
cached = dict(_delete_=True, type='CachedFeatures', model=_base_.model)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(folder='work_dirs/demo_existence_features/train', dataset=_base_.train_dataloader.dataset, **cached),
)
val_dataloader = dict(
    dataset=dict(folder='work_dirs/demo_existence_features/val', dataset=_base_.val_dataloader.dataset, **cached)
)
model = dict(lmm=dict(type='LMMWithoutWeights'), trained_masks='work_dirs/demo/epoch_1.pth')
train_cfg = dict(max_epochs=10, val_interval=10)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
default_hooks = dict(checkpoint=dict(interval=10))
