"""Qwen2.5-VL-3B with SAM ViT-L on RefCOCOg."""

_base_ = './qwen2_5_vl_3b_sam_l_refcoco.py'
files = dict(ann_file='refcocog/instances.json', split_file='refcocog/refs(umd).p')
train_dataloader = dict(dataset=files)
val_dataloader = dict(dataset=dict(name='refcocog_val_first_sentence', **files))
test_dataloader = dict(dataset=dict(name='refcocog', splits=('val', 'test'), **files))
