"""Shapes in motion in the layout of Ref-YouTube-VOS, as tools/make_shapes.py --video writes them."""

_base_ = './ref_video.py'
to_sample = dict(prompt='Locate the shapes.')
to_clip = dict(sampling=dict(_delete_=True))
train_to_clip = dict(sampling=dict(_delete_=True))
shapes = dict(data_root='data/shapes_video/')
train_dataloader = dict(
    num_workers=0,
    batch_size=2,
    dataset=dict(
        name='shapes_video_train',
        indices=1000,  # of as many as there are: an LMM that is fine-tuned on videos needs more
        ann_file='meta_expressions/train/meta_expressions.json',
        data_prefix=dict(img_path='train/JPEGImages', mask_path='train/Annotations'),
        **shapes,
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        name='shapes_video_val',
        ann_file='meta_expressions/val/meta_expressions.json',
        data_prefix=dict(img_path='val/JPEGImages', mask_path='val/Annotations'),
        **shapes,
    ),
)
test_dataloader = dict(
    num_workers=0,
    dataset=dict(
        name='shapes_video_test',
        ann_file='meta_expressions/test/meta_expressions.json',
        data_prefix=dict(img_path='test/JPEGImages', mask_path='test/Annotations'),
        **shapes,
    ),
)
