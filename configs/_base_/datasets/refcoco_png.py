"""RefCOCO, RefCOCO+, RefCOCOg (umd) and PNG as one, as F-LMM trains; tests on each, and on gRefCOCO.

Validation is RefCOCO's: the first sentence of each ref of val. A config adds the image processor.

gRefCOCO is tested with its phrases that mean nothing, although no training set here has such and a model without existence
head finds something for each: so F-LMM and LISA are scored in the literature, and an N_acc near 0 says it.
"""

_base_ = './refcoco.py'
on_train2014 = dict(data_root='data/coco/', data_prefix=dict(img_path='train2014/'))
refcoco_plus = dict(ann_file='refcoco+/instances.json', split_file='refcoco+/refs(unc).p', **on_train2014)
refcocog = dict(ann_file='refcocog/instances.json', split_file='refcocog/refs(umd).p', **on_train2014)
grefcoco = dict(ann_file='grefcoco/instances.json', split_file='grefcoco/grefs(unc).json', **on_train2014)
png_train = dict(
    data_root='data/coco/',
    ann_file='annotations/png_coco_train2017.json',
    panoptic_file='annotations/panoptic_train2017.json',
    data_prefix=dict(img_path='train2017/', panoptic_path='annotations/panoptic_train2017/'),
)
png_val = dict(
    data_root='data/coco/',
    ann_file='annotations/png_coco_val2017.json',
    panoptic_file='annotations/panoptic_val2017.json',
    data_prefix=dict(img_path='val2017/', panoptic_path='annotations/panoptic_val2017/'),
)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='JointDataset',
        datasets=[
            dict(type='PNGDataset', name='png_train', **png_train),
            dict(type='RefCocoDataset', name='refcoco_train', split='train', text_mode='random', **_base_.refcoco),
            dict(type='RefCocoDataset', name='refcoco_plus_train', split='train', text_mode='random', **refcoco_plus),
            dict(type='RefCocoDataset', name='refcocog_train', split='train', text_mode='random', **refcocog),
        ],
    )
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='JointDataset',
        datasets=[
            dict(type='RefCocoTestSets', name='refcoco', splits=('val', 'testA', 'testB'), **_base_.refcoco),
            dict(type='RefCocoTestSets', name='refcoco_plus', splits=('val', 'testA', 'testB'), **refcoco_plus),
            dict(type='RefCocoTestSets', name='refcocog', splits=('val', 'test'), **refcocog),
            dict(type='PNGDataset', name='png_val', test_mode=True, **png_val),
            dict(
                type='RefCocoTestSets',
                dataset_type='GRefCocoDataset',
                name='grefcoco',
                splits=('val', 'testA', 'testB'),
                protocols=('every_sentence',),  # each sentence counts in its authors' metric
                **grefcoco,
            ),
        ],
    )
)
