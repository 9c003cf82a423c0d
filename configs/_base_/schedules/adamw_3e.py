"""The demo's schedule: AdamW, 3 epochs, short warm-up, then cosine."""

_base_ = './adamw_8e.py'
train_cfg = dict(max_epochs=3)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=0.1, by_epoch=True, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=0.1, end=3, eta_min=0.0, by_epoch=True, convert_to_iter_based=True),
]
