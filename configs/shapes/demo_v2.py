"""The demo with adaptive patches by a threshold that follows from the image."""

_base_ = './demo.py'
from flmm.assembly import assemble

image_processor = dict(
    _base_.image_processor, patch_selection_method='v2', alpha=1.0, method='upsample_mse', max_token_size=4
)
model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_, image_processor=image_processor)
