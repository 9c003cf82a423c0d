"""The demo on its 4 best attention heads of 24, as tools/select_heads.py ranked them on 300 training images."""

_base_ = './demo.py'
model = dict(heads=[(3, 0), (3, 2), (3, 4), (3, 5)])
