"""The demo with phrases that mean several shapes, or none: the model also says whether a phrase is in the picture."""

_base_ = './demo.py'
grefcoco = dict(ann_file='grefcoco/instances.json', split_file='grefcoco/grefs(shapes).json')
model = dict(existence=dict(type='ExistenceHead', width=64))
# Every sentence, not one of each ref: the existence head learns from phrases, and one epoch has few.
train_dataloader = dict(dataset=dict(type='GRefCocoDataset', text_mode='original', **grefcoco))
val_dataloader = dict(dataset=dict(type='GRefCocoDataset', name='shapes_no_target_val_first_sentence', **grefcoco))
test_dataloader = dict(dataset=dict(dataset_type='GRefCocoDataset', name='shapes_no_target', **grefcoco))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(existence_head=dict(lr_mult=2.5))))
default_hooks = dict(calibrate_existence=dict(type='CalibrateExistenceHook'))
