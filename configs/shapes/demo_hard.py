"""The demo on hard scenes: tools/make_shapes.py --difficulty hard --out data/shapes_hard."""

_base_ = './demo.py'
data_root = 'data/shapes_hard/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root, name='shapes_hard'))
