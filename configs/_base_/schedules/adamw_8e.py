"""F-LMM's schedule: AdamW, 8 epochs, 3% warm-up, then cosine."""

train_cfg = dict(by_epoch=True, max_epochs=8)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type='WarmupCosineLR', warmup=0.03, start_factor=1e-5, by_epoch=False)
