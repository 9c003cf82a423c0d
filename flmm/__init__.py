"""Masks for the words a frozen large multimodal model (LMM) reads."""

from flmm.mmcv_ops import install_placeholder

__version__ = '0.1.0'

# Before any module of ours imports mmdet. Costs nothing: mmcv itself is not imported here.
install_placeholder()
