"""Qwen2.5-VL-3B with SAM ViT-L on RefCOCOg, in the split of its authors (google), which has no test."""

_base_ = './qwen2_5_vl_3b_sam_l_refcocog.py'
split_file = 'refcocog/refs(google).p'
train_dataloader = dict(dataset=dict(split_file=split_file))
val_dataloader = dict(dataset=dict(name='refcocog_google_val_first_sentence', split_file=split_file))
test_dataloader = dict(dataset=dict(name='refcocog_google', splits=('val',), split_file=split_file))
