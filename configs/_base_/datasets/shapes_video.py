"""Shapes in motion in the layout of Ref-YouTube-VOS, as tools/make_shapes.py --video writes them."""

_base_ = './mevis.py'
to_sample = dict(prompt='Locate the shapes.')
to_clip = dict(sampling=dict(_delete_=True))
train_to_clip = dict(sampling=dict(_delete_=True))


def shapes_video(split):
    return dict(
        data_root='data/shapes_video/',
        ann_file=f'meta_expressions/{split}/meta_expressions.json',
        mask_file='',
        data_prefix=dict(img_path=f'{split}/JPEGImages', mask_path=f'{split}/Annotations'),
        name=f'shapes_video_{split}',
    )


train_dataloader = dict(num_workers=0, batch_size=2, dataset=shapes_video('train'))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=shapes_video('val'))
test_dataloader = dict(num_workers=0, dataset=shapes_video('test'))
