"""gRefCOCO as its authors publish it: expressions that mean several objects, or none. A config adds the processor."""

_base_ = './refcoco.py'
grefcoco = dict(ann_file='grefcoco/instances.json', split_file='grefcoco/grefs(unc).json')
train_dataloader = dict(dataset=dict(type='GRefCocoDataset', **grefcoco))
val_dataloader = dict(dataset=dict(type='GRefCocoDataset', name='grefcoco_val_first_sentence', **grefcoco))
# Each sentence counts in its authors' metric.
test_dataloader = dict(
    dataset=dict(dataset_type='GRefCocoDataset', name='grefcoco', protocols=('every_sentence',), **grefcoco)
)
