"""DeepSeek-VL-1.3B with SAM ViT-L on RefCOCOg."""

_base_ = './deepseek_vl_1_3b_sam_l_refcoco.py'
files = dict(ann_file='refcocog/instances.json', split_file='refcocog/refs(umd).p')
train_dataloader = dict(dataset=files)
val_dataloader = dict(dataset=dict(name='refcocog_val_first_sentence', **files))
test_dataloader = dict(dataset=dict(name='refcocog', splits=('val', 'test'), **files))
