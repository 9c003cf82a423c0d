"""Synthetic shapes in RefCOCO's layout, as tools/make_shapes.py writes them."""

_base_ = './refcoco.py'
to_sample = dict(prompt='Locate the shapes.')
shapes = dict(
    data_root='data/shapes/',
    data_prefix=dict(img_path='images/'),
)
train_dataloader = dict(num_workers=0, batch_size=4, dataset=dict(**shapes))
val_dataloader = dict(
    num_workers=0, batch_size=8, persistent_workers=False, dataset=dict(name='shapes_val_first_sentence', **shapes)
)
test_dataloader = dict(num_workers=0, batch_size=8, dataset=dict(name='shapes', **shapes))
