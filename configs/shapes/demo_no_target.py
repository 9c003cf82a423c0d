"""The demo with phrases that mean several shapes, or none: the model also says whether a phrase is in the picture.

It is tested on all that the shapes have: RefCOCO's and gRefCOCO's splits under both protocols, and PNG's captions.
"""

_base_ = './demo.py'
shapes = dict(data_root=_base_.shapes.data_root, data_prefix=_base_.shapes.data_prefix)
refcoco = dict(ann_file='refcoco/instances.json', split_file='refcoco/refs(unc).p', **shapes)
grefcoco = dict(ann_file='grefcoco/instances.json', split_file='grefcoco/grefs(shapes).json', **shapes)
splits = ('val', 'testA', 'testB')
model = dict(existence=dict(type='ExistenceHead'))
# Every sentence, not one of each ref: the existence head needs many phrases.
train_dataloader = dict(dataset=dict(type='GRefCocoDataset', text_mode='original', **grefcoco))
# Its threshold, too; each on its own, as inference reads them.
steps = _base_.val_dataloader.dataset.pipeline
val_dataloader = dict(
    dataset=dict(
        type='GRefCocoDataset',
        name='shapes_no_target_val_every_sentence',
        text_mode='original',
        pipeline=[*steps[:-1], dict(steps[-1], concat=False)],
        **grefcoco,
    )
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='JointDataset',
        pipeline=_base_.test_dataloader.dataset.pipeline,
        datasets=[
            dict(type='RefCocoTestSets', name='shapes', splits=splits, **refcoco),
            dict(
                type='RefCocoTestSets',
                dataset_type='GRefCocoDataset',
                name='shapes_no_target',
                splits=splits,
                **grefcoco,
            ),
            dict(
                type='PNGDataset',
                name='shapes_png_val',
                ann_file='annotations/png_coco_val.json',
                panoptic_file='annotations/panoptic_val.json',
                data_root=_base_.shapes.data_root,
                data_prefix=dict(img_path='images/', panoptic_path='annotations/panoptic_val/'),
                test_mode=True,
            ),
        ],
    )
)
default_hooks = dict(calibrate_existence=dict(type='CalibrateExistenceHook'))
