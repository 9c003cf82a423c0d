"""DeepSeek-VL-1.3B with SAM ViT-L on RefCOCO+."""

_base_ = './deepseek_vl_1_3b_sam_l_refcoco.py'
files = dict(ann_file='refcoco+/instances.json', split_file='refcoco+/refs(unc).p')
train_dataloader = dict(dataset=files)
val_dataloader = dict(dataset=dict(name='refcoco_plus_val_first_sentence', **files))
test_dataloader = dict(dataset=dict(name='refcoco_plus', **files))
