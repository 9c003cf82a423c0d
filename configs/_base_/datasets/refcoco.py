"""RefCOCO as its authors publish it: annotations beside COCO's train2014 images. A config adds the image processor."""

refcoco = dict(
    data_root='data/coco/',
    data_prefix=dict(img_path='train2014/'),
    ann_file='refcoco/instances.json',
    split_file='refcoco/refs(unc).p',
)
loading = [dict(type='PILLoadImageFromFile'), dict(type='LoadMasks')]
to_sample = dict(type='RefCOCO2PNG', prompt='Please give me a description of the image.', independent=True)
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    # Workers start anew, with new seeds, at every epoch: so a resumed run draws what the interrupted one would have.
    # Those of all loaders end with a run that is killed.
    worker_init_fn=dict(type='flmm.keep_torch_seed'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='flmm.collate_grounding'),
    dataset=dict(type='RefCocoDataset', split='train', text_mode='random', **refcoco),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    worker_init_fn=dict(type='flmm.keep_torch_seed'),
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='flmm.collate_grounding'),
    dataset=dict(
        type='RefCocoDataset',
        name='refcoco_val_first_sentence',
        split='val',
        text_mode='select_first',
        test_mode=True,
        **refcoco,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    worker_init_fn=dict(type='flmm.keep_torch_seed'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='flmm.collate_grounding'),
    dataset=dict(type='RefCocoTestSets', name='refcoco', splits=('val', 'testA', 'testB'), **refcoco),
)
