"""The demo on easy scenes: tools/make_shapes.py --difficulty easy --out data/shapes_easy."""

_base_ = './demo.py'
data_root = 'data/shapes_easy/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root, name='shapes_easy'))
