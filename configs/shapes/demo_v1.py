"""The demo with adaptive patches by fixed thresholds of entropy (APT)."""

_base_ = './demo.py'
from flmm.assembly import assemble

image_processor = dict(_base_.image_processor, patch_selection_method='v1', method='entropy', blur=1, max_token_size=4)
model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_, image_processor=image_processor)
