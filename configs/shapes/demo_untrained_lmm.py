"""The control: the demo over an LMM of the same shape with random weights."""

_base_ = './demo.py'
model = dict(lmm=dict(type='random_lmm'))
