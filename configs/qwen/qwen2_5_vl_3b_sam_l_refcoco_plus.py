"""Qwen2.5-VL-3B with SAM ViT-L on RefCOCO+."""

_base_ = './qwen2_5_vl_3b_sam_l_refcoco.py'
files = dict(ann_file='refcoco+/instances.json', split_file='refcoco+/refs(unc).p')
train_dataloader = dict(dataset=files)
val_dataloader = dict(dataset=dict(name='refcoco_plus_val_first_sentence', **files))
test_dataloader = dict(dataset=dict(name='refcoco_plus', **files))
