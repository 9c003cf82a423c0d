"""DeepSeek-VL-1.3B with SAM ViT-L on RefCOCO, RefCOCO+, RefCOCOg and PNG together.

As F-LMM's frozen_deepseek_vl_1_3b_chat_unet_sam_l_refcoco_png.
"""

_base_ = [
    '../_base_/f_lmm_published.py',
    '../_base_/datasets/refcoco_png_f_lmm.py',
    '../_base_/lmms/deepseek_vl_1_3b.py',
]
from flmm.assembly import assemble

model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)
# F-LMM trains this one with two images on each GPU, and with twice the rate.
train_dataloader['batch_size'] = 2
optim_wrapper = dict(optimizer=dict(lr=2e-4))
