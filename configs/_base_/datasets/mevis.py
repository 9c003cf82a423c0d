"""MeViS as its authors publish it. Of its parts valid_u has public truth; masks of valid go to the benchmark's server."""

_base_ = './ref_video.py'
mevis = dict(data_root='data/mevis/', fps=6.0)
train = dict(
    name='mevis_train',
    ann_file='train/meta_expressions.json',
    mask_file='train/mask_dict.json',
    data_prefix=dict(img_path='train/JPEGImages'),
    **mevis,
)
valid_u = dict(
    name='mevis_valid_u',
    ann_file='valid_u/meta_expressions.json',
    mask_file='valid_u/mask_dict.json',
    data_prefix=dict(img_path='valid_u/JPEGImages'),
    **mevis,
)
train_dataloader = dict(dataset=train)
val_dataloader = dict(dataset=valid_u)
test_dataloader = dict(dataset=valid_u)
