"""The demo trained over budgets of 30 to 100 %, tested on 30 % of the image tokens."""

_base_ = './demo.py'
train_processor = dict(_base_.image_processor, patch_selection_method='budget', alpha=(0.3, 1.0))
test_processor = dict(train_processor, alpha=0.3)
train_pipeline = [*_base_.loading, dict(_base_.to_sample, image_processor=train_processor)]
test_pipeline = [*_base_.loading, dict(_base_.to_sample, image_processor=test_processor)]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
