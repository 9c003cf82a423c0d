"""The demo with phrases that mean several shapes, or none: the model also says whether a phrase is in the picture."""

_base_ = './demo.py'
grefcoco = dict(ann_file='grefcoco/instances.json', split_file='grefcoco/grefs(shapes).json')
model = dict(existence=dict(type='ExistenceHead'))
# Every sentence, not one of each ref: the existence head, and its threshold, need many phrases.
train_dataloader = dict(dataset=dict(type='GRefCocoDataset', text_mode='original', **grefcoco))
val_dataloader = dict(
    dataset=dict(type='GRefCocoDataset', name='shapes_no_target_val', text_mode='original', **grefcoco)
)
test_dataloader = dict(dataset=dict(dataset_type='GRefCocoDataset', name='shapes_no_target', **grefcoco))
default_hooks = dict(calibrate_existence=dict(type='CalibrateExistenceHook'))
