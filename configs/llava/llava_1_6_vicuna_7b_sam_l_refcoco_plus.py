"""LLaVA-1.6-Vicuna-7B with SAM ViT-L on RefCOCO+."""

_base_ = './llava_1_6_vicuna_7b_sam_l_refcoco.py'
files = dict(ann_file='refcoco+/instances.json', split_file='refcoco+/refs(unc).p')
train_dataloader = dict(dataset=files)
val_dataloader = dict(dataset=dict(name='refcoco_plus_val_first_sentence', **files))
test_dataloader = dict(dataset=dict(name='refcoco_plus', **files))
