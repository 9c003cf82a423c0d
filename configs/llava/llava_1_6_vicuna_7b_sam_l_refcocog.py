"""LLaVA-1.6-Vicuna-7B with SAM ViT-L on RefCOCOg."""

_base_ = './llava_1_6_vicuna_7b_sam_l_refcoco.py'
files = dict(ann_file='refcocog/instances.json', split_file='refcocog/refs(umd).p')
train_dataloader = dict(dataset=files)
val_dataloader = dict(dataset=dict(name='refcocog_val_first_sentence', **files))
test_dataloader = dict(dataset=dict(name='refcocog', splits=('val', 'test'), **files))
