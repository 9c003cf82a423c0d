"""The demo's schedule: AdamW, one epoch, short warm-up, then cosine."""

_base_ = './adamw_8e.py'
train_cfg = dict(max_epochs=1)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    # The small Sam comes trained on shapes; the mask head starts from nothing.
    paramwise_cfg=dict(custom_keys={'sam': dict(lr_mult=0.25)}),
)
param_scheduler = dict(warmup=0.1, start_factor=0.01)
