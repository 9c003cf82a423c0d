"""The demo with adaptive patches by fixed thresholds of entropy (APT)."""

_base_ = './demo.py'
image_processor = dict(_base_.image_processor, patch_selection_method='v1', method='entropy', blur=1, max_token_size=4)
pipeline = [*_base_.loading, dict(_base_.to_sample, image_processor=image_processor)]
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(pipeline=pipeline))
