"""The demo's schedule: AdamW, one epoch, short warm-up, then cosine."""

_base_ = './adamw_8e.py'
train_cfg = dict(max_epochs=1)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    # The small Sam comes trained on shapes; the mask head starts from nothing. Its upsampling layers have had Sam's rate in
    # every figure of this project: the key was 'sam' once, which is a part of their name, too.
    paramwise_cfg=dict(custom_keys={'sam.model': dict(lr_mult=0.25), 'upsample': dict(lr_mult=0.25)}),
)
param_scheduler = dict(warmup=0.1, start_factor=0.01)
